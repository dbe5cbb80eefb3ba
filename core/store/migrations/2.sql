-- Data sets that people upload.

CREATE TABLE uploads (
    digest  TEXT PRIMARY KEY,           -- of the content: the same data are kept once
    name    TEXT NOT NULL,              -- of the file, shown as text only
    kind    TEXT NOT NULL,              -- images, text, tabular
    rows    BIGINT NOT NULL,
    created TIMESTAMP NOT NULL,
    file    BLOB NOT NULL               -- Parquet, as core.data.uploads made it
);
