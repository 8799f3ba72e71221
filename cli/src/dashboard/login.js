// Keeps the key of this login for the page's requests, and goes on to the clean address. The page
// with the token does not stay in the history.
"use strict";

try {
  localStorage.setItem("key", document.querySelector("meta[name=key]").content);
} catch {
  // Without storage the page shows everything and can request nothing.
}
location.replace("/");
