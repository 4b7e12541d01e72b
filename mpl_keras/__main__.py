"""`python -m mpl_keras NAME` is `mpl-keras NAME`."""

from mpl_keras.commands import main

if __name__ == "__main__":
    main()
