#!/bin/sh
# Training photos that are not among the embedded ones: own-photos.sh FOLDER makes
#   FOLDER/photos/<class>/*.png   to train on
#   FOLDER/new/<class>/*.png      every fifth photo of a class, held out from training
#
# They are the photographs in Debian's package tuxpaint-stamps-default: birds, flowers and so on, cut out
# on a transparent ground. Copyright 2002-2022 Bill Kendrick and contributors, GPL-2. The package (161 MB) is
# fetched by `apt-get download` and unpacked into FOLDER, not installed.
set -eu
[ $# = 1 ] || { echo "usage: own-photos.sh FOLDER" >&2; exit 2; }
package=tuxpaint-stamps-default
mkdir -p "$1"
cd "$1"

if [ ! -d stamps ]; then
    command -v dpkg-deb >/dev/null && command -v apt-get >/dev/null || {
        echo "This needs Debian's or Ubuntu's apt-get. Any folder of class folders does as well: frostline train FOLDER" >&2
        exit 1
    }
    ls "$package"_*.deb >/dev/null 2>&1 || {
        echo "Downloading $package (161 MB, GPL-2)."
        # Apt's own user may not be allowed to write here; apt then prints a warning and downloads as root.
        apt-get download -qq "$package" 2>/dev/null || { apt-get update -qq; apt-get download -qq "$package"; }
    }
    dpkg-deb -x "$package"_*.deb unpacked
    mv unpacked/usr/share/tuxpaint/stamps stamps
    rm -r unpacked "$package"_*.deb
fi

# class: the folder inside the package. Drawings are SVG, or in folders named cartoon.
rm -rf photos new
while read -r class folder; do
    mkdir -p "photos/$class" "new/$class"
    count=0
    find -L "stamps/$folder" -name '*.png' | grep -Ev '/cartoon/|_mirror|_flip' | LC_ALL=C sort | while read -r file; do
        count=$((count + 1))
        if [ $((count % 5)) = 0 ]; then part=new; else part=photos; fi
        cp "$file" "$part/$class/"
    done
done <<EOF
bird animals/birds
mammal animals/mammals
flower plants/flowers
fruit food/fruit
vegetable food/vegetables
vehicle vehicles
EOF
for part in photos new; do
    echo "$(find "$part" -name '*.png' | wc -l) photos of $(ls "$part" | wc -l) classes in $1/$part"
done
