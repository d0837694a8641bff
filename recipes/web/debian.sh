#!/usr/bin/env bash
# Bitext from three manuals that Debian's -doc packages hold in nine languages. Needs Debian 12.
#
#   recipes/web/debian.sh                        all pages, German with English
#   recipes/web/debian.sh fr,en runs/web-debian
#
# Which files are one document is known from their names: gold.tsv, for benchmarks/web.py.
set -euo pipefail
langs=${1:-de,en} out=${2:-runs/web-debian}
url=https://www.debian.org/doc/manuals

echo "== 1/3 packages: named by version, so that the pages are the same"
mkdir -p "$out/packages" "$out/site"/{debian-reference,maint-guide,developers-reference}
(
  cd "$out/packages"
  apt-get download debian-reference-{en,de,es,fr,it,ja,pt,zh-cn}=2.100 \
    maint-guide{,-de,-es,-fr,-it,-ja,-ru,-zh-cn}=1.2.53 developers-reference{,-de,-fr,-it,-ja,-ru}=12.18
  for package in *.deb; do dpkg-deb -x "$package" .; done
)

echo "== 2/3 a site of them: NAME.LANG.html, and LANG/NAME.html beside English without a mark"
cp -L "$out"/packages/usr/share/debian-reference/*.html "$out/site/debian-reference"
cp -L "$out"/packages/usr/share/doc/maint-guide*/html/*.html "$out/site/maint-guide"
cp -L "$out"/packages/usr/share/developers-reference/*.html "$out/site/developers-reference"
for lang in de fr it ja ru; do
  mkdir -p "$out/site/developers-reference/$lang"
  cp -L "$out"/packages/usr/share/developers-reference/$lang/*.html "$out/site/developers-reference/$lang"
done
(
  cd "$out/site"
  for path in debian-reference/*.*.html maint-guide/*.*.html; do
    name=${path%.html}
    printf '%s\t%s\t%s\n' "$url/$path" "${name##*.}" "${name%.*}"
  done
  for path in developers-reference/*.html; do printf '%s\ten\t%s\n' "$url/$path" "$path"; done
  for path in developers-reference/*/*.html; do
    lang=$(basename "$(dirname "$path")")
    printf '%s\t%s\t%s\n' "$url/$path" "$lang" "developers-reference/$(basename "$path")"
  done
) | grep -v -e /search.html -e /index.html > "$out/gold.tsv"

echo "== 3/3 bitext"
labse web run "$out/site" --base-url "$url" --langs "$langs" --out "$out/W"
labse web report "$out/W" --out "$out/sizes.png"
