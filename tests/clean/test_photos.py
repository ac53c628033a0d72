"""Photos from outside become pixels of one size, or a reason: nothing that they hold stops a stage."""

import io
import struct
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image
from torchvision import transforms

from lib.clean import photos
from lib.clean.photos import Archive, Folder, PhotoError, PhotoMissing, decode_photo, open_photos
from lib.exceptions import StudyError

RED, WHITE, GREY = (255, 0, 0), (255, 255, 255), (200, 200, 200)


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def noise(width, height, seed=0):
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8))


def sixteen_bit(shape):
    return Image.fromarray(np.full(shape[::-1], 200 * 256, np.uint16))


def png_header(width, height):
    """A PNG that states a size and holds almost nothing: what a decompression bomb looks like from outside."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"\0" * 100)
    chunks = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (header, data, b"IEND")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_photo_is_resized_by_its_short_side_and_cut_at_its_centre_as_torchvision_does():
    smooth = noise(12, 16).resize((60, 80), Image.Resampling.BICUBIC)
    theirs = transforms.Compose([transforms.Resize(96), transforms.CenterCrop(96)])(smooth)
    ours = decode_photo(encoded(smooth), 96)
    assert ours.shape == (96, 96, 3)
    assert ours.dtype == np.uint8
    assert np.abs(ours.astype(int) - np.asarray(theirs, int)).mean() < 1


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        *(("1", "PNG"), ("L", "PNG"), ("LA", "PNG"), ("P", "PNG"), ("P", "GIF"), ("RGB", "JPEG"), ("RGB", "BMP")),
        *(("RGBA", "PNG"), ("RGBA", "WEBP"), ("CMYK", "JPEG"), ("L", "JPEG"), ("I;16", "PNG")),
        *(("RGB", "AVIF"), ("RGBA", "AVIF"), ("RGB", "TIFF"), ("CMYK", "TIFF"), ("1", "TIFF"), ("I;16", "TIFF")),
    ],
)
@pytest.mark.parametrize("shape", [(1, 1), (7, 9), (64, 48)])
def test_every_kind_of_photo_keeps_its_colour(mode, kind, shape):
    wanted = {"1": WHITE, "L": GREY, "LA": GREY, "I;16": GREY}.get(mode, RED)
    image = Image.new("RGB", shape, wanted).convert(mode) if mode != "I;16" else sixteen_bit(shape)
    pixels = decode_photo(encoded(image, kind), 8)
    assert pixels.shape == (8, 8, 3)
    assert np.abs(pixels.astype(int) - wanted).max() <= 2


@pytest.mark.parametrize("kind", ["TIFF", "MPO", "AVIF", "GIF"])
def test_of_several_pictures_in_a_file_the_first_is_taken(kind):
    pictures = [Image.new("RGB", (64, 48), colour) for colour in (RED, "blue", "green")]
    pixels = decode_photo(encoded(pictures[0], kind, save_all=True, append_images=pictures[1:]), 8)
    assert np.abs(pixels.astype(int) - RED).max() <= 2


@pytest.mark.parametrize(("width", "height"), [(60_000, 60_000), (8_000, 7_000)])
def test_a_photo_that_states_another_size_than_it_has_is_refused(width, height):
    content = bytearray(encoded(noise(60, 80), "AVIF"))
    place = content.index(b"ispe") + 8
    content[place : place + 8] = struct.pack(">II", width, height)
    with pytest.raises(PhotoError):
        decode_photo(bytes(content), 8)


def test_what_is_transparent_is_white():
    assert (decode_photo(encoded(Image.new("RGBA", (9, 9), (255, 0, 0, 0))), 4) == WHITE).all()
    palette = Image.new("P", (9, 9), 3)
    assert (decode_photo(encoded(palette, "GIF", transparency=3), 4) == WHITE).all()


def test_photo_is_turned_as_its_exif_data_say():
    image = Image.new("RGB", (40, 40), "blue")
    image.paste(RED, (0, 0, 40, 20))  # red above, which after a turn by 90 degrees is right
    exif = Image.Exif()
    exif[0x0112] = 6
    left, right = decode_photo(encoded(image, "PNG", exif=exif), 8)[4, [0, -1]]
    assert tuple(left) == (0, 0, 255)
    assert tuple(right) == RED


def test_damaged_exif_data_do_not_spoil_a_photo():
    content = encoded(Image.new("RGB", (9, 9), RED), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff nonsense")
    assert np.abs(decode_photo(content, 4).astype(int) - RED).max() <= 2


@pytest.mark.parametrize("size", [(1, 20_000), (20_000, 1)])
def test_extreme_shapes_stay_small(size):
    assert decode_photo(encoded(Image.new("L", size, 255)), 224).min() == 255


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not an image of a known format"),
        (b"<html><body>404</body></html>", "not an image of a known format"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image of a known format"),
        (encoded(noise(60, 80), "JPEG")[:900], "truncated"),
        (encoded(noise(60, 80), "PNG")[:900], "truncated"),
        (encoded(noise(60, 80), "JPEG")[:30], ""),
        (encoded(noise(9, 9), "PPM"), "not an image of a known format (JPEG, PNG, GIF, WEBP, BMP, AVIF, TIFF)"),
        (encoded(noise(60, 80), "TIFF")[:900], "truncated"),
        (encoded(noise(60, 80), "AVIF")[:-50], "Truncated"),
        (encoded(Image.new("L", (8_000, 7_000)), "TIFF", compression="tiff_deflate"), "8000 x 7000 pixels; at most"),
        (png_header(100, 100), ""),
        (png_header(8_000, 8_000), "8000 x 8000 pixels; at most 50000000"),
        (png_header(100_000, 100_000), "DecompressionBombError"),
    ],
)
def test_damaged_or_huge_photo_is_refused_with_a_reason_that_is_the_same_each_time(content, reason, recwarn):
    messages = []
    for _ in range(2):
        with pytest.raises(PhotoError) as caught:
            decode_photo(content, 32)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert reason in messages[0]
    assert "0x" not in messages[0]
    assert not list(recwarn)


@pytest.fixture(params=["folder", "archive"])
def place(request, tmp_path):
    """Return a function that puts named contents into a folder or into an archive of a new place."""

    def make(**contents):
        path = tmp_path / "photos"
        if request.param == "folder":
            path.mkdir()
            for name, content in contents.items():
                (path / name).write_bytes(content)
        else:
            write_archive(path, **contents)
        return open_photos(path)

    return make


def write_archive(path, **contents):
    with zipfile.ZipFile(path, "w") as file:
        for name, content in contents.items():
            file.writestr(name, content)


def test_photos_are_found_by_name_and_limited_in_size(place, monkeypatch):
    monkeypatch.setattr(photos, "MAX_BYTES", 10)
    found = place(a=b"x" * 11, b=b"x" * 10, c=b"")
    assert len(found) == 3
    assert found.read("b") == b"x" * 10
    for name in "ac":
        with pytest.raises(PhotoError, match="bytes; at most 10 are read"):
            found.read(name)
    for name in ("d", "", "b/b", "b\0", "x" * 5000):
        with pytest.raises(PhotoError):
            found.read(name)


def test_nothing_outside_a_folder_is_read(tmp_path):
    (tmp_path / "secret").write_bytes(b"secret")
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "loop").symlink_to(folder / "loop")
    for name in ("../secret", str(tmp_path / "secret"), "link"):
        with pytest.raises(PhotoError, match="outside the folder"):
            Folder(folder).read(name)
    with pytest.raises(PhotoError):
        Folder(folder).read("loop")


def test_a_name_is_only_looked_up_in_an_archive(tmp_path):
    (tmp_path / "secret").write_bytes(b"secret")
    write_archive(tmp_path / "images.zip", **{"../evil": b"data"})
    assert Archive(tmp_path / "images.zip").read("../evil") == b"data"
    with pytest.raises(PhotoMissing):
        Archive(tmp_path / "images.zip").read(str(tmp_path / "secret"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images.zip", "secret"]


def test_damaged_entry_is_a_broken_photo(tmp_path):
    path = tmp_path / "images.zip"
    write_archive(path, a=b"x" * 100, b=b"y" * 100)
    path.write_bytes(path.read_bytes().replace(b"x" * 100, b"x" * 99 + b"z"))
    assert Archive(path).read("b") == b"y" * 100
    with pytest.raises(PhotoError, match="the archive's entry is damaged: BadZipFile"):
        Archive(path).read("a")


@pytest.mark.parametrize("kept", [0, 150])
def test_truncated_archive_is_one_clear_error(tmp_path, kept):
    path = tmp_path / "images.zip"
    write_archive(path, a=b"x" * 100, b=b"y" * 100)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(StudyError, match=r"images\.zip is not a whole ZIP archive .* Delete it"):
        Archive(path)


def test_missing_place_is_one_clear_error(tmp_path):
    with pytest.raises(StudyError, match=r"images\.zip is missing\. Run"):
        Archive(tmp_path / "images.zip")
    with pytest.raises(StudyError, match=r"There are no photos in .*nowhere"):
        open_photos(tmp_path / "nowhere")
