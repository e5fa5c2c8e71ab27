#!/bin/sh
# Fetches the front-end files kept in this folder from npm, at the versions below, and nothing else.
# Run it by hand after changing a version or adding an icon, look at the diff, and commit the result.
set -eu
cd "$(dirname "$0")"

TABLER=1.6.1        # @tabler/core, MIT
ICONS=3.51.0        # @tabler/icons, MIT
INTER=5.3.0         # @fontsource-variable/inter, OFL-1.1

# One name a line in icons.txt; the file name without .svg of an outline icon.
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

unpack() { # package version folder
    (cd "$tmp" && npm pack --silent "$1@$2" >"$3.name" && mkdir "$3" && tar xzf "$(cat "$3.name")" -C "$3" --strip 1)
}

unpack @tabler/core "$TABLER" core
unpack @tabler/icons "$ICONS" icons
unpack @fontsource-variable/inter "$INTER" inter

mkdir -p tabler icons inter
# The source maps are not vendored, so the comments that point at them would only cause 404s.
sed '/^\/\*# sourceMappingURL=/d' "$tmp/core/dist/css/tabler.min.css" >tabler/tabler.min.css
sed '/^\/\/# sourceMappingURL=/d' "$tmp/core/dist/js/tabler.min.js" >tabler/tabler.min.js

rm -f icons/*.svg
while read -r name; do
    cp "$tmp/icons/icons/outline/$name.svg" icons/
done <icons.txt
cp "$tmp/icons/LICENSE" icons/LICENSE

for subset in latin latin-ext; do
    cp "$tmp/inter/files/inter-$subset-wght-normal.woff2" inter/
done
cp "$tmp/inter/LICENSE" inter/LICENSE

cat >VERSIONS <<END
@tabler/core $TABLER (MIT, tabler/LICENSE; its bundle contains Bootstrap 5 and Popper 2, both MIT)
@tabler/icons $ICONS (MIT, icons/LICENSE)
@fontsource-variable/inter $INTER (OFL-1.1, inter/LICENSE)
END
