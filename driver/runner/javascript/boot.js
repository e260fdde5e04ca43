// What `node -e` is given.
