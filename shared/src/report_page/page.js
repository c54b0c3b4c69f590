"use strict";
(function () {
  var form = document.querySelector(".find");
  if (!form) return;
  var input = form.querySelector("input"), told = form.querySelector("output");
  var rows = Array.prototype.slice.call(document.querySelectorAll("#samples tbody tr"));
  function search() {
    var words = input.value.toLowerCase().split(/\s+/).filter(Boolean), found = 0;
    rows.forEach(function (row) {
      var text = row.textContent.toLowerCase();
      row.hidden = !words.every(function (word) { return text.indexOf(word) >= 0; });
      if (!row.hidden) found += 1;
    });
    told.textContent = found + " of " + rows.length;
  }
  form.hidden = false;
  input.addEventListener("input", search);
  form.addEventListener("submit", function (event) { event.preventDefault(); });
  search();
})();
