#!/usr/bin/env bash
# A verifier of bundles from what Debian ships: openssl, jq, unzip, coreutils, grep, awk. Usage: stock.sh SAMPLES.json,
# which prints a line for each sample: its folder, and `accepted` or `refused`. No program here writes archives, so their
# layout is judged by what unzip tells of every entry and by the one size that a canonical archive can have.
set -uo pipefail
export LC_ALL=C.UTF-8

samples=$(realpath "$1")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Whether a command finds nothing. (`set -e` passes over one that begins with `!`.)
none() { if "$@"; then return 1; fi; }

sha256() { sha256sum | cut -c-64; }

# verify FOLDER FILE TENANT MINIMUM BUILDER THRESHOLD KEY…
verify() (
  set -euo pipefail
  cd "$1"
  zip=$2 tenant=$3 minimum=$4 builder=$5 threshold=$6
  shift 6
  work=$(mktemp -d -p "$scratch")

  # Envelopes are canonical: written again by jq they are the same. (jq is asked for much at once: starting it is what takes
  # the time here.)
  jq -cS . "$zip.intoto.jsonl" | cmp -s - "$zip.intoto.jsonl"
  jq -r 'if keys == ["payload", "payloadType", "signatures"] and .payloadType == "application/vnd.in-toto+json"
      and ([.signatures[].keyid] | length == (unique | length))
    then [.payload, (.signatures | map("\(.keyid):\(.sig)") | " " + join(" ") + " ")] | @tsv else error("a bad envelope") end
  ' "$zip.intoto.jsonl" > "$work/envelopes"

  # Every signature that names a key of ours is right, and enough do.
  ids=() lengths=()
  for key in "$@"; do
    openssl pkey -pubin -in "$key" -outform DER > "$work/der"
    ids+=("$(sha256 < "$work/der")")
    lengths+=("$(stat -c %s "$work/der")")
  done
  at=0
  while IFS=$'\t' read -r payload signatures; do
    e=$work/$at
    base64 -d <<< "$payload" > "$e.payload"
    test "$(base64 -w0 "$e.payload")" = "$payload"
    padding=${payload//[^=]/}
    { printf 'DSSEv1 28 application/vnd.in-toto+json %d ' $((${#payload} * 3 / 4 - ${#padding})); cat "$e.payload"; } > "$e.pae"
    good=0 n=0
    for key in "$@"; do
      sig=${signatures#* ${ids[n]}:}
      if [ "$sig" != "$signatures" ]; then
        sig=${sig%% *}
        base64 -d <<< "$sig" > "$e.sig"
        test "$(base64 -w0 "$e.sig")" = "$sig"
        # An Ed25519 key is 44 bytes long, one of P-256 is 91.
        case ${lengths[n]} in
          44) openssl pkeyutl -verify -pubin -inkey "$key" -rawin -in "$e.pae" -sigfile "$e.sig" ;;
          *) openssl dgst -sha256 -verify "$key" -signature "$e.sig" "$e.pae" ;;
        esac > /dev/null
        good=$((good + 1))
      fi
      n=$((n + 1))
    done
    test "$good" -ge "$threshold"
    { cat "$e.payload"; echo; } >> "$work/payloads"
    at=$((at + 1))
  done < "$work/envelopes"
  jq -cS . "$work"/?.payload | cmp -s - "$work/payloads"
  head -n 1 "$zip.intoto.jsonl" | jq -cjS --slurpfile theirs "$zip.sigstore.json" '
    $theirs[0].verificationMaterial.publicKey.hint as $hint | .signatures |= map(select(.keyid == $hint)) | {
    mediaType: "application/vnd.dev.sigstore.bundle.v0.3+json", dsseEnvelope: .,
    verificationMaterial: {publicKey: {hint: $hint}, tlogEntries: []}}' | cmp -s - "$zip.sigstore.json"

  # What was signed: this archive, the list in it, and for whom.
  digest=$(sha256 < "$zip")
  unzip -p "$zip" META/SHA256SUMS > "$work/sums"
  list=$(sha256 < "$work/sums")
  jq -rs --arg zip "$zip" --arg digest "$digest" --arg list "$list" --arg tenant "$tenant" --arg builder "$builder" '
    .[0].predicate.buildDefinition.externalParameters as $outside |
    if all(._type == "https://in-toto.io/Statement/v1" and keys == ["_type", "predicate", "predicateType", "subject"] and
      .subject == [{name: $zip, digest: {sha256: $digest}}, {name: "META/SHA256SUMS", digest: {sha256: $list}}]) and
      (map(.predicateType)[:3] == ["https://slsa.dev/provenance/v1", "https://spdx.dev/Document/v2.3", "https://cyclonedx.org/bom"])
      and $outside.tenant == $tenant and "\($outside.bundle.name)-\($outside.bundle.version).zip" == $zip
      and .[0].predicate.runDetails.builder.id == $builder
    then $outside.bundle.version, ($outside | [.bundle.name, .bundle.version, .tenant, .graph] | tojson)
    else error("not what was asked for") end' "$work"/?.payload > "$work/outside"
  { read -r version; read -r told; } < "$work/outside"
  test "$(printf '%s\n' "$minimum" "$version" | sort -V | head -n 1)" = "$minimum"

  # The archive: names that are safe, in order, and all of them listed; every entry as it must be.
  { echo META/SHA256SUMS; cut -c67- "$work/sums"; } > "$work/all"
  LC_ALL=C sort -cu "$work/all"
  unzip -Z1 -UU "$zip" | cmp -s - "$work/all"
  none grep -qvE '^(META/(SHA256SUMS|cyclonedx\.json|manifest\.json|spdx\.json)|out/.+)$' "$work/all"
  none env LC_ALL=C grep -qP '(^|/)\.{0,2}(/|$)|[\\:*?"<>|\x00-\x1f\x7f]|[. ](/|$)|\xcc[\x80-\xbf]|\xcd[\x80-\xaf]' "$work/all"
  none grep -qiE '(^|/)(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.[^/]*)?(/|$)' "$work/all"
  test -z "$(tr '[:upper:]' '[:lower:]' < "$work/all" | sort | uniq -d)"
  unzip -Z -s "$zip" | sed '1,2d;$d' |
    none grep -qvE '^-rw(-r--r--|xr-xr-x)  1\.0 unx +[0-9]+ b- stor 80-Jan-01 00:00 '
  unzip -q "$zip" -d "$work/x" < /dev/null
  find "$work/x" -type f -printf '%s 0%m\t%P\n' | LC_ALL=C sort -t "$(printf '\t')" -k 2 > "$work/found"
  test "$(cut -f 2 "$work/found")" = "$(cat "$work/all")"
  size=$(LC_ALL=C awk -F '\t' '{ sum += $1 + 76 + 2 * length($2) } END { print sum + 22 }' "$work/found")
  test "$size" -eq "$(stat -c %s "$zip")"

  # The contents: checksums, manifest, content root, and both SBOMs as they were signed.
  cd "$work/x"
  sha256sum --quiet --strict -c META/SHA256SUMS
  { jq -cS . META/manifest.json; jq -cS .predicate "$work"/[12].payload; } |
    cmp -s - <(cat META/manifest.json; echo; cat META/spdx.json; echo; cat META/cyclonedx.json; echo)
  grep '^.\{66\}out/' META/SHA256SUMS > "$work/out"
  jq -r '.root.dirHash1, ([.name, .version, .tenant, .graph] | tojson),
    (.files[] | .sha256 + "  " + .path), (.files[] | "\(.size) \(.mode)\t\(.path)")' META/manifest.json |
    cmp -s - <(sha256 < "$work/out"; echo "$told"; cat "$work/out"; grep -P '\tout/' "$work/found")
)

jq -r '.[] | [.dir, .file, .tenant, .minimum, .builder, .threshold, (.keys | join(" "))] | @tsv' "$samples" > "$scratch/list"
while IFS=$'\t' read -r dir file tenant minimum builder threshold keys; do
  # shellcheck disable=SC2086
  verify "${samples%/*}/$dir" "$file" "$tenant" "$minimum" "$builder" "$threshold" $keys > /dev/null 2> "$scratch/why"
  # Not as a condition: within one, `set -e` has no effect.
  if [ $? -eq 0 ]; then echo "$dir accepted"; else echo "$dir refused: $(head -c 200 "$scratch/why" | tr '\n' ' ')"; fi
done < "$scratch/list"
