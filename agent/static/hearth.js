// Keys for those who do not reach for the mouse. Everything works without this file.
"use strict";
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const box = document.getElementById("q");
  const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
  if (event.key === "/" && !typing && box) {
    event.preventDefault();
    box.focus();
    box.select();
    return;
  }
  const links = Array.from(document.querySelectorAll(".hits h2 a"));
  const at = links.indexOf(document.activeElement);
  if (!links.length || (typing && event.target !== box)) return;
  if (event.key === "ArrowDown" && at + 1 < links.length) {
    event.preventDefault();
    links[at + 1].focus();
  } else if (event.key === "ArrowUp" && at >= 0) {
    event.preventDefault();
    (at > 0 ? links[at - 1] : box).focus();
  }
});
