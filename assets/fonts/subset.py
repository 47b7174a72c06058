"""Write SallyportCJK.otf: the part of Noto Sans CJK SC that the program needs.

Run it, or go generate, after Chinese texts have changed and the test of the
catalogue misses a glyph:

    apt-get install fonts-noto-cjk python3-fonttools
    /usr/bin/python3 subset.py

It holds the 3,755 common characters (level 1 of GB 2312), so that names in
Chinese can be shown too, everything in ../translations, and Latin letters. The
name is changed, as a subset is another font than the one it was made of.
"""

import glob
import json
import os

from fontTools import subset
from fontTools.ttLib import TTCollection

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc"


def texts(value):
    if isinstance(value, dict):
        for v in value.values():
            yield from texts(v)
    else:
        yield value


def wanted():
    chars = set(map(chr, range(0x20, 0x7F))) | set(map(chr, range(0xA0, 0x180)))
    chars |= set("–—‘’“”„•…‹›←↑→↓⇄⟲✓✗€№℃°·×÷≤≥≠∞◆●○■□▲▼★☆")
    chars |= set(map(chr, range(0x3000, 0x3020))) | set(map(chr, range(0xFF01, 0xFF5F))) | set("￥")
    for row in range(16, 56):  # GB 2312, level 1: rows 16 to 55
        for cell in range(1, 95):
            try:
                chars.add(bytes([0xA0 + row, 0xA0 + cell]).decode("gb2312"))
            except UnicodeDecodeError:
                pass  # the last row is not full
    for name in sorted(glob.glob(os.path.join(HERE, "../translations/*.json"))):
        with open(name, encoding="utf-8") as f:
            for text in texts(json.load(f)):
                chars |= set(text)
    return chars


def main():
    font = next(f for f in TTCollection(SOURCE).fonts if f["name"].getDebugName(4) == "Noto Sans CJK SC")
    options = subset.Options()
    options.layout_features = ["kern", "mark", "mkmk", "locl", "ccmp"]
    options.hinting = False
    options.desubroutinize = False
    options.drop_tables += ["vhea", "vmtx", "VORG", "BASE", "DSIG"]
    options.name_IDs = [0, 1, 2, 3, 4, 5, 6, 13, 14]
    options.name_languages = [0x409]
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=[ord(c) for c in wanted()])
    subsetter.subset(font)
    for record in font["name"].names:
        if record.nameID in (1, 4):
            record.string = "Sallyport CJK"
        elif record.nameID in (3, 6):
            record.string = "SallyportCJK-Regular"
    font["head"].modified = font["head"].created  # the same bytes each time
    font.recalcTimestamp = False
    font.save(os.path.join(HERE, "SallyportCJK.otf"))


main()
