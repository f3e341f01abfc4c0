#!/bin/sh
# Asks a Prometheus server at $1 what requests.txt lists and prints cases.txt.
while read -r method target body; do
    case $method in '' | '#'*) continue ;; esac
    set -- "$1" -s -g -X "$method" -w '\n> %{http_code} %{content_type}\n' "$1$target"
    server=$1
    shift
    if [ -n "$body" ]; then set -- "$@" --data-raw "$body"; fi
    printf '%s %s %s\n' "$method" "$target" "$body" | sed 's/ *$//'
    curl "$@"
    echo
    set -- "$server"
done
