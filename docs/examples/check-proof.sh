#!/usr/bin/env bash
# Checks that a record stands in an Enclave audit log. Needs openssl and coreutils, nothing of Enclave.
#   check-proof.sh PROOF RECORD KEY     PROOF: a .tlog-proof; RECORD: a file with the record's bytes, exactly;
#                                       KEY: the log's verifier key (name+id+base64), or a PEM file of its public key
set -euo pipefail
[ $# -eq 3 ] || { sed -n 's/^# \?//; 3,5p' "$0" >&2; exit 2; }
proof=$1 record=$2 key=$3
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
refuse() { echo "NOT PROVEN: $*" >&2; exit 1; }
sha() { openssl dgst -sha256 -binary; }
[ "$(head -n 1 "$proof")" = c2sp.org/tlog-proof@v1 ] || refuse "this is no tlog-proof"
index=$(sed -n '/^$/q; s/^index //p' "$proof")
sed '/^$/,$d' "$proof" | sed '1,/^index /d' >"$dir/hashes"
sed '1,/^$/d' "$proof" >"$dir/checkpoint"
sed '/^$/,$d' "$dir/checkpoint" >"$dir/text"
{ read -r origin; read -r size; read -r root; } <"$dir/text" || refuse "the checkpoint is cut short"
[[ $index =~ ^[0-9]{1,18}$ && $size =~ ^[0-9]{1,18}$ && $index -lt $size ]] || refuse "index and tree size do not fit"
if [ -f "$key" ]; then openssl pkey -pubin -in "$key" -outform DER -out "$dir/key"
else # an Ed25519 public key in DER is twelve fixed bytes and the key itself
  [ "${key%%+*}" = "$origin" ] || refuse "the key is of ${key%%+*}, the checkpoint of $origin"
  { printf '\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00'; cut -d+ -f3- <<<"$key" | base64 -d | tail -c 32; } >"$dir/key"
fi
signed=no
while read -r _ name blob; do # a signature line: dash, name, base64 of four bytes of key id and the signature
  [ "$name" = "$origin" ] && base64 -d <<<"$blob" | tail -c +5 >"$dir/signature" && openssl pkeyutl -verify -pubin \
    -keyform DER -inkey "$dir/key" -rawin -in "$dir/text" -sigfile "$dir/signature" >/dev/null 2>&1 && signed=yes
done < <(sed '1,/^$/d' "$dir/checkpoint")
[ $signed = yes ] || refuse "the log's key did not sign this checkpoint"
{ printf '\x00'; cat "$record"; } | sha >"$dir/hash" # RFC 6962: a leaf is SHA-256(0x00 record), a node SHA-256(0x01 left right)
place=$index last=$((size - 1))
while read -r sibling; do
  base64 -d <<<"$sibling" >"$dir/sibling"; order="hash sibling"
  [ $last -gt 0 ] && [ "$(wc -c <"$dir/sibling")" -eq 32 ] || refuse "the proof has a hash too many or a malformed one"
  if (( place & 1 || place == last )); then order="sibling hash"
    while (( place && !(place & 1) )); do place=$((place >> 1)) last=$((last >> 1)); done; fi
  { printf '\x01'; cd "$dir"; cat $order; } | sha >"$dir/next"; mv "$dir/next" "$dir/hash"
  place=$((place >> 1)) last=$((last >> 1))
done <"$dir/hashes"
[ $last -eq 0 ] && base64 -d <<<"$root" | cmp -s - "$dir/hash" || refuse "the record does not lead to the signed root"
echo "PROVEN: record $index stands in $origin, which signed for $size records"
