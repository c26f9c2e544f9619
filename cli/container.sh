#!/bin/sh
# The first program of a container. What V8 compiled when the image was made is put where the container may write,
# under the mark of its processor and this user, as Node looks for it: half of a start is compiling. On another
# processor than the image's maker's Node finds nothing and compiles as ever.
set -u
cache=${NODE_COMPILE_CACHE:-}
if [ -n "$cache" ] && mkdir "$cache" 2>/dev/null; then
  for made in /opt/fairlead/compiled/*; do
    cp -r "$made" "$cache/${made##*/}-$(id -u)" 2>/dev/null
  done
fi
exec node /opt/fairlead/cli/main.ts "$@"
