"""Makes the JPEG files of this folder and, beside each, a PNG of the pixels that OpenCV reads from it.

    python tests/data/jpeg/make_jpeg.py

Needs numpy and OpenCV. Each file is one kind of JPEG: sampling of chroma, grey, sides that are no multiple of a block,
restart markers, progressive.
"""

from pathlib import Path

import cv2
import numpy as np

FOLDER = Path(__file__).parent
SAMPLING = {
    "411": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411,
    "420": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
    "422": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
    "440": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440,
    "444": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
}
#: Name: width, height, sampling (nothing for grey), progressive, blocks between restart markers, quality.
KINDS = {
    **{f"{sampling}_odd": (45, 35, sampling, False, 0, 90) for sampling in SAMPLING},
    **{f"{sampling}_progressive": (45, 35, sampling, True, 0, 80) for sampling in ("420", "422", "444")},
    "420_even": (64, 48, "420", False, 0, 75),
    "420_restart": (61, 47, "420", False, 2, 95),
    "422_restart": (61, 47, "422", False, 1, 60),
    "420_low_quality": (50, 50, "420", False, 0, 10),
    "420_one_column": (1, 19, "420", False, 0, 90),
    "422_one_row": (19, 1, "422", False, 0, 90),
    "grey_odd": (45, 35, None, False, 0, 90),
    "grey_progressive": (45, 35, None, True, 0, 90),
    "grey_restart": (61, 47, None, False, 3, 90),
}


def picture(width: int, height: int) -> np.ndarray:
    """Smooth colours, edges and noise, saturated in places."""
    random = np.random.default_rng(width * 1000 + height)
    coarse = random.uniform(-60, 315, (4, 4, 3)).astype(np.float32)
    image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    image[height // 3 : height // 2, width // 4 : width // 2] = (250, 20, 130)
    return np.clip(image + random.normal(0, 12, image.shape), 0, 255).astype(np.uint8)


def main() -> None:
    for name, (width, height, sampling, progressive, restart, quality) in KINDS.items():
        image = picture(width, height)
        options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_PROGRESSIVE, int(progressive)]
        options += [cv2.IMWRITE_JPEG_RST_INTERVAL, restart]
        if sampling:
            options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, SAMPLING[sampling]]
        else:
            image = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        file = FOLDER / f"{name}.jpg"
        cv2.imwrite(str(file), image, options)
        cv2.imwrite(str(file.with_suffix(".png")), cv2.imread(str(file), cv2.IMREAD_UNCHANGED))


if __name__ == "__main__":
    main()
