-- Whose runs are whose, where visitors share one app; and stories.

CREATE TABLE owners (                   -- who asked for what; several may have asked for the same
    item    TEXT NOT NULL,              -- a run, or the digest of an upload
    visitor TEXT NOT NULL,              -- a digest of what the visitor's browser alone knows
    PRIMARY KEY (item, visitor)
);

CREATE TABLE shared (                   -- runs that every visitor sees
    run TEXT PRIMARY KEY
);

CREATE TABLE stories (                  -- what is pinned, in order, to be presented
    story   TEXT PRIMARY KEY,           -- random: who has the link may read it
    title   TEXT NOT NULL,
    visitor TEXT NOT NULL,              -- who may change it; empty where the app has one user
    slides  JSON NOT NULL,              -- a list, see core/stories
    created TIMESTAMP NOT NULL,
    changed TIMESTAMP NOT NULL
);
