#!/usr/bin/env bash
# Verifies a bundle without Partita: signature, subjects, contents and readers, with openssl, jq,
# coreutils and whatever archivers are given. Usage: check.sh ARCHIVE PUBLIC-KEY WORK-DIR [READER…]
set -euo pipefail
zip=$(realpath "$1") pub=$(realpath "$2") work=$3
shift 3
mkdir -p "$work"
cd "$work"

# Every envelope: the signature over the pre-authentication encoding, and both subjects.
while IFS= read -r line; do
  printf '%s' "$line" > e.json
  type=$(jq -r .payloadType e.json)
  jq -r .payload e.json | base64 -d > p.bin
  jq -r '.signatures[0].sig' e.json | base64 -d > s.bin
  { printf 'DSSEv1 %d %s %d ' "${#type}" "$type" "$(stat -c %s p.bin)"; cat p.bin; } > pae.bin
  openssl pkeyutl -verify -pubin -inkey "$pub" -rawin -in pae.bin -sigfile s.bin
  test "$(jq -r '.subject[0].name' p.bin)" = "$(basename "$zip")"
  test "$(jq -r '.subject[0].digest.sha256' p.bin)" = "$(sha256sum < "$zip" | cut -d' ' -f1)"
  test "$(jq -r '.subject[1].digest.sha256' p.bin)" = "$(unzip -p "$zip" META/SHA256SUMS | sha256sum | cut -d' ' -f1)"
done < "$zip.intoto.jsonl"
cmp <(head -n 1 "$zip.intoto.jsonl" | jq -cS .) <(jq -cS .dsseEnvelope "$zip.sigstore.json")
test "$(jq -r '.signatures[0].keyid' e.json)" = "$(openssl pkey -pubin -in "$pub" -outform DER | sha256sum | cut -d' ' -f1)"

# The contents after extraction: all that is listed, and nothing else; then the content root.
unzip -q "$zip" -d x
(cd x && sha256sum --quiet --strict -c META/SHA256SUMS)
cmp <(cut -c67- x/META/SHA256SUMS | LC_ALL=C sort) \
    <(cd x && find . -type f ! -path ./META/SHA256SUMS | sed 's|^\./||' | LC_ALL=C sort)
root=$(cd x && find out -type f | LC_ALL=C sort | tr '\n' '\0' | xargs -0 sha256sum | sha256sum | cut -d' ' -f1)
test "$root" = "$(jq -r .root.dirHash1 x/META/manifest.json)"

# Other readers accept the archive.
unzip -tqq "$zip"
for reader in "$@"; do
  case $reader in
    7z | 7zz) "$reader" t "$zip" > /dev/null ;;
    bsdtar) bsdtar -tf "$zip" > /dev/null ;;
    python3) python3 -c "import sys, zipfile; assert zipfile.ZipFile(sys.argv[1]).testzip() is None" "$zip" ;;
    *) echo "unknown reader $reader" >&2; exit 2 ;;
  esac
done
echo "accepted by $*"
