#!/bin/sh
# What happens in a container before its program:
#
#   entrypoint.sh sealane serve                the gateway
#   entrypoint.sh sealane run module:Strategy  a strategy
#   entrypoint.sh python bot.py                a program of your own
#
# 1. Started as root, it makes the data folder and goes on as the folder's owner. One that belongs to root, as volumes
#    often do, is given to user 10001 first, and so is all in it that belongs to root. Nothing of anybody else's is
#    touched. Started as any other user it changes nothing.
# 2. A data folder that cannot be written to ends it here, with exit code 2 and the remedy: a nonce that cannot be
#    stored is not used, so nothing would work later either.
# 3. Where it is PID 1 it puts tini before the program, so that SIGTERM arrives and the dead are buried.
#
# The data folder is DATA_DIR; without it where Railway says that its volume is; without that /app/data.
set -eu
umask 0077

: "${DATA_DIR:=${RAILWAY_VOLUME_MOUNT_PATH:-/app/data}}"
export DATA_DIR

say() { printf 'entrypoint: %s\n' "$1" >&2; }
refuse() {
    say "$1"
    exit 2
}

# Secrets that come as files, Docker's and systemd's way, become variables, where the environment has none of the name.
take_secrets() {
    for file in "${CREDENTIALS_DIRECTORY:-/run/secrets}"/*; do
        name="${file##*/}"
        case "$name" in
        *[!A-Za-z0-9_]*) continue ;;
        KRAKEN_* | COINBASE_*) ;;
        *) continue ;;
        esac
        if [ -r "$file" ] && ! printenv "$name" >/dev/null; then
            export "$name=$(cat "$file")"
        fi
    done
}

make_folder() {
    (umask 0022 && mkdir -p "$DATA_DIR") ||
        refuse "cannot make DATA_DIR=$DATA_DIR: mount a volume there, or name the volume's place in DATA_DIR"
    chmod 0700 "$DATA_DIR"
}

go_on_as_owner() {
    uid="$(stat -c %u "$DATA_DIR")" gid="$(stat -c %g "$DATA_DIR")"
    [ "$uid" -ne 0 ] || uid=10001 gid=10001
    [ "$gid" -ne 0 ] || gid="$uid"
    find "$DATA_DIR" -xdev -name lost+found -prune -o -uid 0 -exec chown -h "$uid:$gid" {} + ||
        refuse "cannot give $DATA_DIR to user $uid: leave the container CHOWN, or start it as the folder's owner"
    drop="setpriv --reuid $uid --regid $gid --clear-groups --inh-caps=-all --no-new-privs"
    # shellcheck disable=SC2086 # words of our own
    $drop true || refuse "cannot become user $uid: leave the container SETUID and SETGID, or start it as that user"
    # shellcheck disable=SC2086
    exec $drop /bin/sh "$0" "$@"
}

refuse_unwritable() {
    probe="$DATA_DIR/.entrypoint.$$"
    (: >"$probe") 2>/dev/null ||
        refuse "user $(id -u) cannot write to DATA_DIR=$DATA_DIR: mount a volume there that it owns, or start as root"
    rm -f "$probe"
}

warn_of_place() {
    case "$DATA_DIR/" in
    "${RAILWAY_VOLUME_MOUNT_PATH:-$DATA_DIR}"/*) ;;
    *) say "warning: DATA_DIR=$DATA_DIR is not on the volume, which is at $RAILWAY_VOLUME_MOUNT_PATH" ;;
    esac
    case "$(stat -f -c %T "$DATA_DIR")" in
    overlayfs | tmpfs | ramfs) say "warning: DATA_DIR=$DATA_DIR is on no volume: what it holds ends with this container" ;;
    nfs* | cifs | smb2 | fuseblk) say "warning: DATA_DIR=$DATA_DIR is on a network file system: its locks do not hold" ;;
    esac
}

[ "$#" -gt 0 ] || refuse "nothing to run: name a program, such as: sealane serve"
take_secrets
[ -d "$DATA_DIR" ] || make_folder
[ "$(id -u)" -ne 0 ] || go_on_as_owner "$@"
refuse_unwritable
warn_of_place
if [ "$$" -eq 1 ] && command -v tini >/dev/null; then
    exec tini -- "$@"
fi
exec "$@"
