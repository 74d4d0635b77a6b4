#!/bin/sh
# Prints the version of this checkout as setuptools-scm would: images have no git history to ask.
#   docker compose build --build-arg VERSION="$(sh deploy/version.sh)"
set -eu
cd "$(dirname "$0")/.."

described=$(git describe --tags --long --abbrev=9 --match 'v[0-9]*' 2>/dev/null || true)
if [ -z "$described" ]; then
    echo "0.1.dev$(git rev-list --count HEAD)+g$(git rev-parse --short=9 HEAD)"
    exit
fi
# v1.2.3-4-g0123abc: a tag, commits since, the commit
commit=${described##*-}
rest=${described%-*}
distance=${rest##*-}
tag=${rest%-*}
release=${tag#v}
if [ "$distance" = 0 ]; then
    echo "$release"
    exit
fi
# The next release, in development: its last number is one higher.
last=${release##*[!0-9]}
echo "${release%"$last"}$((last + 1)).dev$distance+$commit"
