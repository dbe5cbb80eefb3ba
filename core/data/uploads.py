"""Data that a person uploads: checked, and brought into one form, a Parquet file that says what it holds.

    upload = read_upload("flowers.zip", content)      images in a folder a class
    upload = read_upload("reviews.csv", content)      texts or numbers, with a column of labels or without; Parquet likewise
    store.writing().add_upload(upload.digest, upload.name, upload.kind, upload.rows, upload.file)

An upload is a stranger's file: nothing of it is written to disk or run, sizes are checked before and while it is unpacked, images
are looked at before they are decoded, and whatever is wrong is an UploadError with one sentence. core.data.items reads the result.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from core.data.items import ABOUT, TEXT_NAMES, Kind, as_labels

if TYPE_CHECKING:
    import pyarrow as pa

IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst")
IMAGE_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
LITTER = ("__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini")  # what systems leave in archives
CHUNK = 1 << 20
LABEL_NAMES = ("label", "labels", "class", "target", "category", "y")
SENTENCE = 20  # characters that texts have on average, at least, beside numbers
BLANK = 4096  # bytes of an image that may have any ratio


class UploadError(ValueError):
    """An upload that cannot be used; the message says what is wrong with it, and what to do."""


@dataclass(frozen=True)
class Limits:
    """What an upload may have at most.

    Attributes:
        upload_bytes: as it comes.
        unpacked_bytes: all that a zip, a CSV or a Parquet file holds, unpacked.
        ratio: of a zip's member unpacked to packed; images are packed already, so that a large one is a bomb.
        members: of a zip.
        rows: items.
        columns: of a table.
        pixels: of an image.
        classes: of labels.
        text: characters of a text.
    """

    upload_bytes: int = 200_000_000
    unpacked_bytes: int = 1_000_000_000
    ratio: float = 200.0
    members: int = 100_000
    rows: int = 100_000
    columns: int = 2_000
    pixels: int = 50_000_000
    classes: int = 10_000
    text: int = 1_000_000


@dataclass(frozen=True)
class Upload:
    """A data set ready to be kept.

    Attributes:
        digest: of its content: the same data have the same digest.
        name: as it was uploaded.
        kind: what its items are.
        rows: how many items.
        classes: names of its classes; empty where it has no labels.
        file: a Parquet file for core.data.items.
    """

    digest: str
    name: str
    kind: Kind
    rows: int
    classes: tuple[str, ...]
    file: bytes


def read_upload(name: str, content: bytes, limits: Limits | None = None) -> Upload:
    """What was uploaded under a name, checked and normalised.

    A zip holds images in a folder a class; a CSV or a Parquet file a row an item: a column of texts, or else columns of numbers,
    and a column of labels where one is named so or has few different texts.

    Raises:
        UploadError: it cannot be used.
    """
    limits = limits or Limits()
    if not content:
        raise UploadError(f"{name} is empty. Choose a file with data.")
    if len(content) > limits.upload_bytes:
        raise UploadError(f"{name} has {size(len(content))}; at most {size(limits.upload_bytes)} can be uploaded.")
    if content[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        table, kind, classes = _from_zip(name, content, limits)
    elif content[:4] == b"PAR1":
        table, kind, classes = _from_table(name, _read_parquet(name, content, limits), limits)
    elif name.lower().endswith((".zip", ".parquet")):
        raise UploadError(f"{name} is no {'zip' if name.lower().endswith('.zip') else 'Parquet'} file, whatever its name says.")
    elif name.lower().endswith((".csv", ".tsv", ".txt")):
        table, kind, classes = _from_table(name, _read_csv(name, content, limits), limits)
    else:
        raise UploadError(f"{name} is no CSV, no Parquet and no zip file. Upload one of these.")
    return _kept(name, table, kind, classes)


def _kept(name: str, table: pa.Table, kind: Kind, classes: tuple[str, ...]) -> Upload:
    """The table as one Parquet file, and the digest of what is in it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    numbers = [column for column in table.column_names if column != "label"] if kind == "tabular" else []
    about = json.dumps({"kind": kind, "classes": classes, "numbers": numbers})
    table = table.replace_schema_metadata({ABOUT: about.encode()})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table.combine_chunks())
    digest = hashlib.sha256(sink.getvalue()).hexdigest()[:16]
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", row_group_size=1000)
    return Upload(digest, name, kind, len(table), classes, sink.getvalue().to_pybytes())


# --- images -------------------------------------------------------------------------------------------------------


def _from_zip(name: str, content: bytes, limits: Limits) -> tuple[pa.Table, Kind, tuple[str, ...]]:
    """Images of a zip with a folder a class."""
    import pyarrow as pa

    if content.count(b"PK\x01\x02") > limits.members:  # how the entry of each member begins: counted before they are read
        raise UploadError(f"{name} has more than {limits.members:,} files, which is the most that a zip may have.")
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise UploadError(f"{name} is a damaged zip file. Pack it anew.") from error
    with archive:
        members = _members(name, archive, limits)
        folders = _classes(name, members)
        files: list[bytes] = []
        total = 0
        for member in members:
            files.append(unpacked(name, archive, member, limits.unpacked_bytes - total, limits))
            total += len(files[-1])
            _expect_image(name, member.filename, files[-1], limits)
    labels, classes = as_labels(folders)
    if len(classes) > limits.classes:
        raise UploadError(f"{name} has {len(classes):,} folders of images; there may be {limits.classes:,} classes at most.")
    images = pa.array([{"bytes": file} for file in files], pa.struct([("bytes", pa.binary())]))
    names = pa.array([PurePosixPath(member.filename).name for member in members])
    return pa.table({"image": images, "label": pa.array(labels), "file": names}), "images", classes


def _members(name: str, archive: zipfile.ZipFile, limits: Limits) -> list[zipfile.ZipInfo]:
    """The images of an archive in the order of their names, all that it says of itself checked."""
    listed = archive.infolist()
    members = [one for one in listed if not one.is_dir() and not any(part in LITTER for part in one.filename.split("/"))]
    if not members:
        raise UploadError(f"{name} has no files. Put images into it, in a folder a class.")
    for member in members:
        path = check_path(name, member)
        if path.suffix.lower() in ARCHIVES:
            raise UploadError(f"{name} has an archive in it, {shown(member.filename)}. Unpack that first.")
        if path.suffix.lower() not in IMAGES:
            allowed = ", ".join(IMAGES)
            raise UploadError(f"{name} has a file that is no image, {shown(member.filename)}. A zip may hold {allowed}.")
        if member.file_size > max(BLANK, limits.ratio * member.compress_size):
            raise UploadError(
                f"{shown(member.filename)} in {name} unpacks to more than {limits.ratio:g} times its size: a zip bomb."
            )
    total = sum(member.file_size for member in members)
    if total > limits.unpacked_bytes:
        raise UploadError(f"{name} unpacks to {size(total)}; at most {size(limits.unpacked_bytes)} are taken.")
    if len(members) > limits.rows:
        raise UploadError(f"{name} has {len(members):,} images; at most {limits.rows:,} are taken.")
    return sorted(members, key=lambda member: member.filename)


def check_path(name: str, member: zipfile.ZipInfo) -> PurePosixPath:
    """The path of a member. Raises: UploadError where it leads out of the archive, is a link, or cannot be read."""
    path = PurePosixPath(member.filename.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", member.filename) or "\0" in member.orig_filename:
        raise UploadError(f"{name} has a file with the path {shown(member.filename)}, which leads out of it. Pack it anew.")
    if (member.external_attr >> 16) & 0o170000 == 0o120000:
        raise UploadError(f"{name} has a link, {shown(member.filename)}. Pack the file itself.")
    if member.flag_bits & 1:
        raise UploadError(f"{name} is encrypted. Pack it without a password.")
    return path


def _classes(name: str, members: Sequence[zipfile.ZipInfo]) -> list[str]:
    """The folder that each image is in. Raises: UploadError where they are in none, or in each other."""
    folders = [PurePosixPath(member.filename).parent for member in members]
    if any(folder == PurePosixPath(".") for folder in folders):
        raise UploadError(f"{name} has images that are in no folder. Put them into a folder a class, named for the class.")
    if len({folder.parent for folder in folders}) > 1:
        raise UploadError(f"{name} has folders of images at different depths. Put them all into a folder a class, side by side.")
    return [folder.name for folder in folders]


def unpacked(name: str, archive: zipfile.ZipFile, member: zipfile.ZipInfo, left: int, limits: Limits) -> bytes:
    """The bytes of a member, no more of them than there may be: what a zip says of itself need not be true."""
    most = min(left, int(max(BLANK, limits.ratio * member.compress_size)))
    parts: list[bytes] = []
    read = 0
    try:
        with archive.open(member) as source:
            while part := source.read(CHUNK):
                read += len(part)
                if read > most:
                    raise UploadError(f"{shown(member.filename)} in {name} unpacks to more than it says: a zip bomb.")
                parts.append(part)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise UploadError(f"{shown(member.filename)} in {name} is damaged. Pack it anew.") from error
    return b"".join(parts)


def _expect_image(name: str, path: str, file: bytes, limits: Limits) -> None:
    """Raises: UploadError where a file is no image that can be decoded, or too large a one."""
    import warnings

    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(file), formats=IMAGE_FORMATS) as image:
                width, height = image.size
                if width * height > limits.pixels:
                    raise Image.DecompressionBombError(f"{width:,} x {height:,} pixels")
                image.load()
    except Image.DecompressionBombError as error:
        raise UploadError(f"{shown(path)} in {name} is too large ({error}); an image may have {limits.pixels:,} pixels.") from error
    except (OSError, SyntaxError, ValueError, EOFError, MemoryError, zlib.error) as error:
        raise UploadError(f"{shown(path)} in {name} is no image that can be decoded. Take it out, or save it anew.") from error


# --- tables -------------------------------------------------------------------------------------------------------


def _read_csv(name: str, content: bytes, limits: Limits) -> pa.Table:
    """A CSV in UTF-8 whose first row names the columns; the separator is found."""
    import pyarrow as pa
    from pyarrow import csv as arrow

    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UploadError(f"{name} is not in UTF-8 (byte {error.start:,}). Save it as UTF-8.") from error
    if "\0" in text:
        raise UploadError(f"{name} is no text file. Upload a CSV, a Parquet or a zip file.")
    first = text.lstrip().partition("\n")[0]
    separator = max(SEPARATORS, key=first.count) if first else ","
    csv.field_size_limit(max(limits.text, 1000))
    header: list[str] = []
    try:
        for number, row in enumerate(row for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator) if row):
            header = header or [column.strip() for column in row]
            if len(row) != len(header):
                raise UploadError(
                    f"Row {number + 1} of {name} has {len(row)} {'value' if len(row) == 1 else 'values'}, and the first row names "
                    f"{len(header)} columns. Put texts with {SEPARATORS[separator]} into quotes."
                )
            if number > limits.rows:
                raise UploadError(f"{name} has more than {limits.rows:,} rows. Take fewer.")
    except csv.Error as error:
        raise UploadError(f"{name} is no CSV file that can be read: {error}.") from error
    if not header:
        raise UploadError(f"{name} is empty. Choose a file with data.")
    _expect_names(name, header, limits)
    try:
        table = arrow.read_csv(
            pa.BufferReader(text.encode()),
            arrow.ReadOptions(use_threads=False, block_size=len(content) + 1),
            arrow.ParseOptions(delimiter=separator, newlines_in_values=True),
            arrow.ConvertOptions(strings_can_be_null=True, null_values=["", "NA", "NaN", "nan", "null"]),
        )
        return table.rename_columns(header)
    except pa.ArrowInvalid as error:
        raise UploadError(f"{name} is no CSV file that can be read: {str(error).partition(chr(10))[0]}") from error


def _read_parquet(name: str, content: bytes, limits: Limits) -> pa.Table:
    """A Parquet file, read after what it says of its size."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.BufferReader(content))
        about = file.metadata
        _expect_names(name, file.schema_arrow.names, limits)
        whole = sum(about.row_group(number).total_byte_size for number in range(about.num_row_groups))
        if about.num_rows > limits.rows:
            raise UploadError(f"{name} has {about.num_rows:,} rows; at most {limits.rows:,} are taken.")
        if whole > limits.unpacked_bytes:
            raise UploadError(f"{name} unpacks to {size(whole)}; at most {size(limits.unpacked_bytes)} are taken.")
        pieces, total = [], 0
        rows = max(1, min(1000, limits.unpacked_bytes // max(whole, 1)))  # each may repeat what the file holds once
        for batch in file.iter_batches(rows):
            columns = [column.dictionary_decode() if pa.types.is_dictionary(column.type) else column for column in batch.columns]
            pieces.append(pa.RecordBatch.from_arrays(columns, names=batch.schema.names))
            total += pieces[-1].nbytes
            if total > limits.unpacked_bytes:
                raise UploadError(f"{name} unpacks to more than {size(limits.unpacked_bytes)}, which is the most that is taken.")
        return pa.Table.from_batches(pieces) if pieces else file.schema_arrow.empty_table()
    except UploadError:
        raise
    except (pa.ArrowException, OSError, MemoryError, ValueError, OverflowError) as error:
        raise UploadError(f"{name} is a damaged Parquet file. Write it anew.") from error


def _expect_names(name: str, columns: Sequence[str], limits: Limits) -> None:
    if len(columns) > limits.columns:
        raise UploadError(f"{name} has {len(columns):,} columns; at most {limits.columns:,} are taken.")
    twice = next((column for place, column in enumerate(columns) if column in columns[:place]), None)
    if twice is not None:
        raise UploadError(f"{name} has two columns named {shown(twice)}. Name each column once, in the first row.")


def _from_table(name: str, table: pa.Table, limits: Limits) -> tuple[pa.Table, Kind, tuple[str, ...]]:
    """A table's texts, or else its numbers, and its labels."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not len(table):
        raise UploadError(f"{name} has no rows below the names of its columns. Choose a file with data.")
    text, label = _roles(table)
    labels, classes = _labels(name, table, label, limits) if label else (None, ())
    made: dict[str, Any] = {}
    kind: Kind
    if text:
        kind = "text"
        made["text"] = pc.fill_null(table[text].cast(pa.string()), "")
        longest = pc.max(pc.utf8_length(made["text"])).as_py()
        if longest > limits.text:
            raise UploadError(f"{name} has a text of {longest:,} characters; a text may have {limits.text:,}.")
        if longest == 0:
            raise UploadError(f"The column {shown(text)} of {name} has no text. Choose a file with data.")
    else:
        kind = "tabular"
        numeric = [column for column in _numeric(table) if column != label]
        if not numeric:
            raise UploadError(
                f"{name} has no column of texts or numbers besides its labels; it has: "
                f"{', '.join(shown(column) for column in table.column_names[:8])}."
            )
        for column in numeric:
            made["label (number)" if column == "label" else column] = _finite(name, column, table[column])
    if labels is not None:
        made["label"] = pa.array(labels)
    if kind == "text":
        made |= {column: table[column] for column in (*_strings(table), *_numeric(table)) if column not in {text, label, *made}}
    return pa.table(made), kind, classes


def _roles(table: pa.Table) -> tuple[str, str]:
    """The columns of texts and of labels, "" where there is none.

    Texts are in a column that is named so, else in the one of strings with the longest, unless short ones stand beside numbers.
    Labels are in a column that is named so, else in one of strings of which at most half are different.
    """
    import pyarrow.compute as pc

    strings, numeric = _strings(table), _numeric(table)
    label = next((column for column in LABEL_NAMES if column in table.column_names), "")
    length = {column: pc.mean(pc.utf8_length(table[column])).as_py() or 0 for column in strings if column != label}
    text = next((column for column in TEXT_NAMES if column in length), "")
    longest = max(length, key=length.__getitem__, default="")
    if not text and longest and (length[longest] >= SENTENCE or not [column for column in numeric if column != label]):
        text = longest
    if not label:
        few = (column for column in length if column != text and 2 <= pc.count_distinct(table[column]).as_py() <= len(table) / 2)
        label = next(few, "")
    return text, label


def _strings(table: pa.Table) -> list[str]:
    import pyarrow.types as types

    return [column.name for column in table.schema if types.is_string(column.type) or types.is_large_string(column.type)]


def _numeric(table: pa.Table) -> list[str]:
    import pyarrow.types as types

    kinds = (types.is_integer, types.is_floating, types.is_boolean)
    return [column.name for column in table.schema if any(is_kind(column.type) for is_kind in kinds)]


def _finite(name: str, column: str, values: Any) -> Any:
    """Numbers as 32-bit floats. Raises: UploadError where one is missing or not finite."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    numbers = pc.cast(values, pa.float64(), safe=False).to_numpy()
    bad = np.flatnonzero(~np.isfinite(numbers.astype(np.float32)))
    if len(bad):
        raise UploadError(
            f"Row {bad[0] + 1} of {name} has no finite number in the column {shown(column)}. Fill it in, or take it out."
        )
    return pa.array(numbers.astype(np.float32))


def _labels(name: str, table: pa.Table, label: str, limits: Limits) -> tuple[Any, tuple[str, ...]]:
    import pyarrow.types as types

    values = table[label]
    if types.is_nested(values.type) or types.is_binary(values.type):
        raise UploadError(f"The labels in the column {shown(label)} of {name} are neither texts nor numbers.")
    labels, classes = as_labels(values.to_pylist())
    if len(classes) > limits.classes:
        raise UploadError(f"The column {shown(label)} of {name} has {len(classes):,} labels; there may be {limits.classes:,}.")
    return labels, classes


def shown(text: str, most: int = 80) -> str:
    """A stranger's text for a sentence: short, in one line."""
    plain = "".join(character if character.isprintable() else "?" for character in text)
    return repr(plain if len(plain) <= most else f"{plain[:most]}…")


def size(count: float) -> str:
    """Bytes in words."""
    return f"{count / 1e6:,.0f} MB" if count >= 1e6 else f"{count / 1e3:,.1f} kB"
