"""Uploads: what is taken, as what it is read again, and that whatever is wrong is said in one sentence, whoever made the file."""

from __future__ import annotations

import csv
import io
import json
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from core.data.items import items
from core.data.uploads import Limits, UploadError, read_upload
from core.store import Store


def image(seed: int = 0, size: tuple[int, int] = (6, 5), mode: str = "RGB", form: str = "PNG") -> bytes:
    shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
    sink = io.BytesIO()
    Image.fromarray(np.random.RandomState(seed).randint(0, 256, shape, dtype=np.uint8)).save(sink, format=form)
    return sink.getvalue()


def zipped(files: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", compression) as archive:
        for name, body in files.items():
            archive.writestr(name, body)
    return sink.getvalue()


def table(rows: list[list[object]], separator: str = ",") -> bytes:
    sink = io.StringIO()
    csv.writer(sink, delimiter=separator).writerows(rows)
    return sink.getvalue().encode()


def parquet(**columns: object) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


FLOWERS = {"set/rose/b.png": image(1), "set/rose/a.png": image(2), "set/aster/c.jpg": image(3, mode="L", form="JPEG")}
REVIEWS = table([["text", "label"], ["A fine film, at last", "good"], ['He said "no"\nand left', "bad"], ["", "good"]])


# --- what is taken --------------------------------------------------------------------------------------------------


def test_a_zip_of_images_in_folders_of_classes():
    upload = read_upload("flowers.zip", zipped({**FLOWERS, "__MACOSX/set/rose/._b.png": b"litter"}))
    assert (upload.kind, upload.rows, upload.classes) == ("images", 3, ("aster", "rose"))
    found = items(upload=upload.file)
    assert found.kind == "images"
    assert found.classes == ("aster", "rose")
    assert found.labels.tolist() == [0, 1, 1]
    assert list(found.columns["file"]) == ["c.jpg", "a.png", "b.png"]
    assert [one.mode for one in found.images] == ["L", "RGB", "RGB"]
    expected = Image.open(io.BytesIO(FLOWERS["set/rose/a.png"]))
    np.testing.assert_array_equal(np.asarray(found.images[1]), np.asarray(expected))


def test_texts_with_labels():
    upload = read_upload("reviews.csv", REVIEWS)
    assert (upload.kind, upload.rows, upload.classes) == ("text", 3, ("bad", "good"))
    found = items(upload=upload.file)
    assert found.texts == ["A fine film, at last", 'He said "no"\nand left', ""]
    assert found.labels.tolist() == [1, 0, 1]


def test_texts_without_labels_whose_columns_are_kept_to_look_at():
    upload = read_upload("x.tsv", table([["id", "sentence", "by"], [7, "one", "a"], [8, "two", "b"], [9, "three", "c"]], "\t"))
    found = items(upload=upload.file, n=2)
    assert (found.kind, found.texts, found.labels, found.classes) == ("text", ["one", "two"], None, ())
    assert found.columns.to_dict("list") == {"id": [7, 8], "by": ["a", "b"]}


@pytest.mark.parametrize("write", ["csv", "parquet"])
def test_numbers_with_labels_in_a_column_of_few_texts(write):
    columns = {"width": [1.5, 2.0, -3.25, 4.0], "n": [1, 2, 3, 4], "species": ["b", "a", "b", "a"]}
    content = parquet(**columns) if write == "parquet" else table([list(columns), *zip(*columns.values(), strict=True)])
    upload = read_upload(f"x.{write}", content)
    assert (upload.kind, upload.rows, upload.classes) == ("tabular", 4, ("a", "b"))
    found = items(upload=upload.file)
    np.testing.assert_array_equal(found.rows, np.array([[1.5, 1], [2, 2], [-3.25, 3], [4, 4]], np.float32))
    assert found.labels.tolist() == [1, 0, 1, 0]


def test_long_texts_come_before_numbers():
    rows = [["A sentence that is long enough to be read.", 3.0, "x"]] * 4
    upload = read_upload("x.csv", table([["review", "stars", "shop"], *rows[:2], *[[*row[:2], "y"] for row in rows[2:]]]))
    assert (upload.kind, upload.classes) == ("text", ("x", "y"))


def test_the_same_data_have_the_same_digest_whatever_the_file():
    digest = read_upload("a.csv", b"text,label\nx,1\ny,2\n").digest
    assert read_upload("b.txt", b"\xef\xbb\xbftext;label\r\nx;1\r\ny;2\r\n").digest == digest
    assert read_upload("b.csv", b"text,label\nx,1\nz,2\n").digest != digest
    first, second = (read_upload("x.zip", zipped(dict(files))) for files in (FLOWERS.items(), reversed(FLOWERS.items())))
    assert first.digest == second.digest


def test_the_store_keeps_it_once(tmp_path):
    upload = read_upload("reviews.csv", REVIEWS)
    store = Store.open(tmp_path / "store.duckdb")
    for _ in range(2):
        with store.writing() as writer:
            writer.add_upload(upload.digest, upload.name, upload.kind, upload.rows, upload.file)
    assert len(store.uploads()) == 1
    assert items(upload=store.upload_file(upload.digest)).texts == items(upload=upload.file).texts
    store.close()


def test_no_torch_is_needed():
    use = f"from core.data.uploads import read_upload; read_upload('x.csv', {REVIEWS!r})"
    code = f"import sys; {use}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


# --- what is refused ------------------------------------------------------------------------------------------------


def png_of(width: int, height: int) -> bytes:
    """A PNG that says it has so many pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


def link() -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        member = zipfile.ZipInfo("a/link.png")
        member.external_attr = 0o120777 << 16
        archive.writestr(member, "/etc/passwd")
    return sink.getvalue()


def encrypted() -> bytes:
    body = bytearray(zipped({"a/x.png": image()}))
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        body[body.index(signature) + place] |= 1
    return bytes(body)


def liar() -> bytes:
    """A zip whose member says it is small, and is not."""
    body = bytearray(zipped({"a/x.png": b"\0" * 3_000_000}))
    for signature, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<I", body, body.index(signature) + place, 1000)
    return bytes(body)


SMALL = Limits(upload_bytes=100_000, unpacked_bytes=50_000, members=20, rows=10, columns=5, pixels=10_000, classes=4, text=100)
NUMBERED = [["text", "label"]] + [[f"text {n}", n] for n in range(6)]
REFUSED = {
    "empty": ("x.csv", b"", "x.csv is empty."),
    "too large": ("x.csv", b"a" * 100_001, "x.csv has 100.0 kB; at most 100.0 kB can be uploaded."),
    "no zip": ("x.zip", b"hello", "x.zip is no zip file, whatever its name says."),
    "no parquet": ("x.parquet", b"hello", "x.parquet is no Parquet file, whatever its name says."),
    "unknown": ("x.docx", b"hello", "x.docx is no CSV, no Parquet and no zip file."),
    "damaged zip": ("x.zip", zipped({"a/x.png": image()})[:60], "x.zip is a damaged zip file."),
    "damaged parquet": ("x.parquet", parquet(text=["a"])[:-9] + b"x" * 5 + b"PAR1", "x.parquet is a damaged Parquet file."),
    "empty zip": ("x.zip", zipped({}), "x.zip has no files."),
    "only folders": ("x.zip", zipped({"a/": b""}), "x.zip has no files."),
    "no class folders": ("x.zip", zipped({"x.png": image()}), "x.zip has images that are in no folder."),
    "different depths": ("x.zip", zipped({"a/x.png": image(), "b/c/x.png": image()}), "x.zip has folders of images at different"),
    "traversal": ("x.zip", zipped({"../../a/x.png": image()}), "x.zip has a file with the path '../../a/x.png', which"),
    "hidden traversal": ("x.zip", zipped({"a/../../x.png": image()}), "x.zip has a file with the path 'a/../../x.png'"),
    "windows traversal": ("x.zip", zipped({"a\\..\\..\\x.png": image()}), "x.zip has a file with the path"),
    "absolute": ("x.zip", zipped({"/etc/x.png": image()}), "x.zip has a file with the path '/etc/x.png', which leads out"),
    "drive": ("x.zip", zipped({"C:/a/x.png": image()}), "x.zip has a file with the path 'C:/a/x.png', which leads out"),
    "link": ("x.zip", link(), "x.zip has a link, 'a/link.png'."),
    "encrypted": ("x.zip", encrypted(), "x.zip is encrypted."),
    "nested": ("x.zip", zipped({"a/more.ZIP": zipped(FLOWERS)}), "x.zip has an archive in it, 'a/more.ZIP'."),
    "nested in disguise": ("x.zip", zipped({"a/x.png": zipped(FLOWERS)}), "'a/x.png' in x.zip is no image"),
    "no image": ("x.zip", zipped({"a/notes.md": b"#"}), "x.zip has a file that is no image, 'a/notes.md'."),
    "undecodable": ("x.zip", zipped({"a/x.png": image(), "a/y.png": image()[:60]}), "'a/y.png' in x.zip is no image that can be"),
    "a code image": ("x.zip", zipped({"a/x.png": b"%!PS-Adobe-3.0 EPSF-3.0\n"}), "'a/x.png' in x.zip is no image that can be"),
    "pixels": ("x.zip", zipped({"a/x.png": png_of(60_000, 60_000)}), "'a/x.png' in x.zip is too large"),
    "some pixels": ("x.zip", zipped({"a/x.png": png_of(200, 100)}), "'a/x.png' in x.zip is too large (200 x 100 pixels);"),
    "ratio": ("x.zip", zipped({"a/x.png": b"\0" * 40_000}), "'a/x.png' in x.zip unpacks to more than 200 times its size"),
    "unpacked": ("x.zip", zipped({f"a/{n}.bmp": image(size=(80, 80), form="BMP") for n in range(3)}), "x.zip unpacks to 57"),
    "a lie": ("x.zip", liar(), "'a/x.png' in x.zip is damaged."),
    "members": ("x.zip", zipped({f"a/{n}.png": b"" for n in range(21)}), "x.zip has more than 20 files"),
    "images": ("x.zip", zipped({f"a/{n}.png": image() for n in range(11)}), "x.zip has 11 images; at most 10 are taken."),
    "folders": ("x.zip", zipped({f"{n}/x.png": image() for n in range(5)}), "x.zip has 5 folders of images;"),
    "ragged": ("x.csv", b"text,label\na,1\nb\n", "Row 3 of x.csv has 1 value, and the first row names 2 columns."),
    "ragged with more": ("x.csv", b"text,label\na,b,1\n", "Row 2 of x.csv has 3 values, and the first row names 2 columns."),
    "only names": ("x.csv", b"text,label\n", "x.csv has no rows below the names of its columns."),
    "blank": ("x.csv", b"\n\n", "x.csv is empty."),
    "latin": ("x.csv", "text\nschön\n".encode("latin-1"), "x.csv is not in UTF-8 (byte 8). Save it as UTF-8."),
    "binary": ("x.csv", b"text\n\0\0", "x.csv is no text file."),
    "twice": ("x.csv", b"a,a\n1,2\n", "x.csv has two columns named 'a'."),
    "rows": ("x.csv", table([["text"], *[["a"]] * 11]), "x.csv has more than 10 rows."),
    "rows of parquet": ("x.parquet", parquet(text=["a"] * 11), "x.parquet has 11 rows; at most 10 are taken."),
    "columns": ("x.csv", b"a,b,c,d,e,f\n1,2,3,4,5,6\n", "x.csv has 6 columns; at most 5 are taken."),
    "classes": ("x.csv", table(NUMBERED), "The column 'label' of x.csv has 6 labels; there may be 4."),
    "only labels": ("x.csv", b"label\na\nb\n", "x.csv has no column of texts or numbers besides its labels; it has: 'label'."),
    "no texts or numbers": ("x.parquet", parquet(a=[[1], [2]]), "x.parquet has no column of texts or numbers besides its"),
    "missing number": ("x.csv", b"a,b\n1,2\n3,\n", "Row 2 of x.csv has no finite number in the column 'b'."),
    "infinite number": ("x.parquet", parquet(a=[1.0, np.inf]), "Row 2 of x.parquet has no finite number in the column 'a'."),
    "long text": ("x.csv", table([["text"], ["a" * 101]]), "x.csv has a text of 101 characters; a text may have 100."),
    "no text": ("x.parquet", parquet(text=["", None]), "The column 'text' of x.parquet has no text."),
    "repeated": (
        "x.parquet", parquet(text=pa.array(["a" * 9_000] * 10).dictionary_encode()), "x.parquet unpacks to more than 50.0 kB",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_used_is_said_in_a_sentence(case):
    name, content, expected = REFUSED[case]
    with pytest.raises(UploadError) as error:
        read_upload(name, content, SMALL)
    assert str(error.value).startswith(expected)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "name, content", [("x.zip", zipped(FLOWERS)), ("x.csv", REVIEWS), ("x.parquet", parquet(text=["a", "b"], label=[0, 1]))]
)
def test_damage_anywhere_is_refused_or_harmless(name, content):
    draw = np.random.RandomState(0)
    refused = 0
    for _ in range(150):
        body = bytearray(content)
        for place in draw.randint(0, len(body), 3):
            body[place] = draw.randint(0, 256)
        try:
            upload = read_upload(name, bytes(body))
            assert len(items(upload=upload.file)) == upload.rows
        except UploadError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused


def test_strange_names_are_shown_as_short_text_in_one_line():
    with pytest.raises(UploadError) as error:
        read_upload("x.zip", zipped({f"a/\n{'<b>' * 100}.html": b"x"}))
    assert "a/?<b><b>" in str(error.value)
    assert len(str(error.value)) < 300


def test_the_file_says_what_it_holds():
    about = json.loads(pq.read_schema(io.BytesIO(read_upload("reviews.csv", REVIEWS).file)).metadata[b"proving_ground"])
    assert about == {"kind": "text", "classes": ["bad", "good"], "numbers": []}
