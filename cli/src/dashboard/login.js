// Keeps the key of this login for the page's requests, and the witness of its server; then goes on to the clean address. The page
// with the token does not stay in the history.
"use strict";

try {
  for (const name of ["key", "witness"]) {
    localStorage.setItem(name, document.querySelector(`meta[name=${name}]`).content);
  }
} catch {
  // Without storage the page shows everything and can request nothing.
}
location.replace("/");
