#!/usr/bin/env python3
"""Makes the images in images/ (needs Pillow; made with 9.4): kinds that the loader's golden images lack.

    cd tests/fuzz/corpus && python3 images.py
"""
from PIL import Image

SIZE = (24, 16)
rgb = Image.new("RGB", SIZE)
rgb.putdata([(x * 10, y * 15, (x * y) % 256) for y in range(SIZE[1]) for x in range(SIZE[0])])
rgba = rgb.convert("RGBA")
rgba.putalpha(Image.linear_gradient("L").resize(SIZE))
frames = [rgb.rotate(angle) for angle in (90, 180, 270)]
exif = Image.Exif()
exif[274] = 6
exif[271] = "a camera"

rgb.save("images/progressive.jpg", quality=80, progressive=True)
rgb.save("images/subsampled.jpg", quality=50, subsampling=2, exif=exif, comment=b"a comment")
rgb.convert("CMYK").save("images/cmyk.jpg", quality=90)
rgb.save("images/exif.png", exif=exif)
rgb.convert("P", palette=Image.ADAPTIVE, colors=5).save("images/palette.png", transparency=2, bits=4)
rgb.convert("I").save("images/grey16.png")
rgba.save("images/lossless.webp", lossless=True)
rgba.save("images/lossy_alpha.webp", quality=60)
rgb.save("images/exif.webp", quality=60, exif=exif, icc_profile=b"no profile")
rgb.save("images/animated.webp", save_all=True, append_images=frames, duration=40)
rgb.save("images/animated.png", save_all=True, append_images=frames, duration=40)
