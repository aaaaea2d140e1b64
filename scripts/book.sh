#!/bin/sh
# Builds the documentation as a site in out/book and checks its links. MDBOOK is the program mdbook; `make book` gives it.
#
# Pages link to files outside docs/, so the book's source is a copy of the repository's text files.
set -eu
cd "$(dirname "$0")/.."
source=out/book-src
rm -rf "$source" out/book
mkdir -p "$source"
git ls-files '*.md' '*.yaml' '*.yml' '*.toml' '*.py' '*.sh' '*.rs' '*.msg' '*.svg' '*.png' '*.gif' '*.rviz' '*.json' Makefile LICENSE \
    ':!tests/data' ':!training/tests' | while read -r file; do
    mkdir -p "$source/$(dirname "$file")"
    cp "$file" "$source/$file"
done
# Changes links of a page in docs/ to links of a page in the top folder.
sed -e 's#](\([a-z]\)#](docs/\1#' -e 's#](\.\./#](#' docs/SUMMARY.md > "$source/SUMMARY.md"
rm "$source/docs/SUMMARY.md"
"${MDBOOK:-mdbook}" build
python3 scripts/check_links.py out/book
