-- Whose runs are whose, where visitors share one app; and stories.

CREATE TABLE owners (                   -- who asked for a run; several may have asked for the same
    run     TEXT NOT NULL,
    visitor TEXT NOT NULL,              -- a random name that only the visitor's browser knows
    PRIMARY KEY (run, visitor)
);

CREATE TABLE shared (                   -- runs that every visitor sees
    run TEXT PRIMARY KEY
);

CREATE TABLE stories (                  -- what is pinned, in order, to be presented
    story   TEXT PRIMARY KEY,           -- random: who has the link may read it
    title   TEXT NOT NULL,
    visitor TEXT NOT NULL,              -- who may change it; empty where the app has one user
    slides  JSON NOT NULL,              -- a list, see core/stories.py
    created TIMESTAMP NOT NULL,
    changed TIMESTAMP NOT NULL
);
