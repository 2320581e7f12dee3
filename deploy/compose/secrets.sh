#!/bin/sh
# Makes an authority, certificates, passwords and the passphrase, once; each readable by the one user that needs it.
# The folders can be set, so that the script can be tried without containers.
set -eu
umask 077
AUTHORITY=${AUTHORITY:-/authority} VAULT=${VAULT:-/vault} DATA=${DATA:-/data}
POSTGRES=${POSTGRES:-/postgres} STORE=${STORE:-/store}
# The users inside the images: the vault's, PostgreSQL's; the store runs as root.
VAULT_USER=${VAULT_USER:-10001:10001} POSTGRES_USER=${POSTGRES_USER:-999:999} STORE_USER=${STORE_USER:-0:0}

chown "$VAULT_USER" "$VAULT" "$DATA"
chmod 0700 "$VAULT" "$DATA"
if [ -e "$AUTHORITY/ca.pem" ]; then
    echo "the secrets are there"
    exit 0
fi
command -v openssl >/dev/null || { apt-get update -q && apt-get install -q --yes --no-install-recommends openssl; }

work=$(mktemp -d)
random() { openssl rand -base64 33 | tr -d '/+=\n'; }
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 -subj "/CN=feedback-vault authority" \
    -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign,cRLSign" \
    -keyout "$work/ca.key" -out "$work/ca.pem" 2>/dev/null

# certificate FOLDER NAMES…: a key and a certificate for these host names.
certificate() {
    folder=$1
    shift
    names=$(printf 'DNS:%s,' "$@")
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" \
        -keyout "$folder/key.pem" -out "$work/request.pem" 2>/dev/null
    printf 'subjectAltName=%s\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n' "${names%,}" >"$work/extensions"
    openssl x509 -req -in "$work/request.pem" -CA "$work/ca.pem" -CAkey "$work/ca.key" -CAcreateserial -days 365 \
        -extfile "$work/extensions" -out "$folder/certificate.pem" 2>/dev/null
}
certificate "$POSTGRES" postgres localhost
certificate "$STORE" store localhost
certificate "$VAULT" vault-1 vault-2 localhost

random >"$POSTGRES/password"
cp "$POSTGRES/password" "$VAULT/database-password"
random >"$VAULT/passphrase"
id=$(random) secret=$(random)
printf 'access_key_id = "%s"\nsecret_access_key = "%s"\n' "$id" "$secret" >"$VAULT/s3.toml"
printf '{"identities":[{"name":"vault","credentials":[{"accessKey":"%s","secretKey":"%s"}],"actions":["Read:feedback-vault","Write:feedback-vault","List:feedback-vault"]}]}\n' \
    "$id" "$secret" >"$STORE/s3.json"

chown -R "$VAULT_USER" "$VAULT"
chown -R "$POSTGRES_USER" "$POSTGRES"
chown -R "$STORE_USER" "$STORE"
chmod 0755 "$AUTHORITY"
install -m 0644 "$work/ca.pem" "$AUTHORITY/ca.pem"
# Nobody can sign with this authority again; after a year everything is made anew.
rm -r "$work"
echo "made"
