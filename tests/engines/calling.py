"""A program that asks for its balance: so often as it is told, or (0) until its stdin ends. Prints how often it did."""

import sys
import threading

from sealane import Kraken


def main():
    wanted, ended = int(sys.argv[1]), threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    done = 0
    with Kraken.from_env() as kraken:
        print("calling", flush=True)
        while done < wanted if wanted else not ended.is_set():
            kraken.private("Balance")
            done += 1
    print(done)


main()
