-- Everything that Proving Ground keeps. One process owns the file; core/store is the only code that speaks SQL.
-- This is version 1. Later versions are reached by core/store/migrations/<version>.sql, in order.

CREATE TABLE about (
    version   INTEGER NOT NULL,         -- of this schema
    reference TEXT NOT NULL DEFAULT ''  -- digest of the reference results that were loaded
);

CREATE TABLE runs (
    run      TEXT PRIMARY KEY,          -- content hash of the spec: the same experiment is the same run
    slug     TEXT NOT NULL,             -- the paper
    preset   TEXT NOT NULL,
    spec     JSON NOT NULL,             -- method, parameters, arms, seeds, device, inputs
    origin   TEXT NOT NULL DEFAULT 'own', -- own, reference (ships with the program), or imported (an export of elsewhere)
    status   TEXT NOT NULL,             -- queued, running, completed, failed, cancelled, interrupted
    created  TIMESTAMP NOT NULL,        -- UTC, as all times here
    started  TIMESTAMP,
    finished TIMESTAMP,
    seconds  DOUBLE,                    -- wall clock from start to finish
    device   TEXT NOT NULL,
    machine  JSON,                      -- cores, memory, versions
    message  TEXT NOT NULL DEFAULT ''   -- why it failed
);

CREATE TABLE cells (                    -- one arm with one seed, or with all seeds where a method takes them at once
    run     TEXT NOT NULL,
    cell    INTEGER NOT NULL,
    arm     TEXT NOT NULL,
    seeds   INTEGER[] NOT NULL,
    status  TEXT NOT NULL,
    done    BIGINT NOT NULL DEFAULT 0,  -- progress, in the method's own unit
    total   BIGINT NOT NULL DEFAULT 0,
    seconds DOUBLE,
    message TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (run, cell)
);

CREATE SEQUENCE curve_numbers;

CREATE TABLE curves (                   -- one recorded quantity of one arm and seed
    curve  INTEGER NOT NULL DEFAULT nextval('curve_numbers'),
    run    TEXT NOT NULL,
    arm    TEXT NOT NULL,
    seed   INTEGER NOT NULL,
    series TEXT NOT NULL,               -- tells curves of one name apart; mostly empty
    name   TEXT NOT NULL
);

CREATE TABLE scalars (                  -- the points of the curves
    curve   INTEGER NOT NULL,
    step    BIGINT NOT NULL,
    seconds DOUBLE NOT NULL,            -- since the cell started
    value   DOUBLE NOT NULL             -- NaN and infinity are kept
);

CREATE TABLE arrays (                   -- embeddings, predictions, masks, matrices, images
    run     TEXT NOT NULL,
    arm     TEXT NOT NULL,
    seed    INTEGER NOT NULL,
    kind    TEXT NOT NULL,              -- embedding, predictions, mask, matrix, images
    name    TEXT NOT NULL,
    step    BIGINT NOT NULL,
    part    TEXT NOT NULL,              -- vectors, labels, logits, mask, values, pixels
    seconds DOUBLE NOT NULL,
    dtype   TEXT NOT NULL,              -- numpy's name; bool is packed, eight to a byte
    shape   INTEGER[] NOT NULL,
    data    BLOB NOT NULL               -- row-major, compressed by zlib
);

CREATE TABLE tables (                   -- named tables, a piece a call
    run  TEXT NOT NULL,
    arm  TEXT NOT NULL,
    seed INTEGER NOT NULL,
    name TEXT NOT NULL,
    rows BLOB NOT NULL                  -- Arrow IPC stream
);

CREATE TABLE results (                  -- the final metrics that claims look at
    run    TEXT NOT NULL,
    arm    TEXT NOT NULL,
    seed   INTEGER NOT NULL,
    metric TEXT NOT NULL,
    value  DOUBLE NOT NULL
);

CREATE TABLE verdicts (
    run      TEXT NOT NULL,
    claim    TEXT NOT NULL,
    text     TEXT NOT NULL,
    verdict  TEXT NOT NULL,             -- holds, does not hold, undecided, not testable here
    effect   DOUBLE NOT NULL,           -- NaN where there is none
    low      DOUBLE NOT NULL,           -- 95% interval
    high     DOUBLE NOT NULL,
    n        INTEGER NOT NULL,
    smallest DOUBLE NOT NULL,           -- the smallest effect that counts
    unit     TEXT NOT NULL,
    detail   TEXT NOT NULL
);
