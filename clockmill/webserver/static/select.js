// The box above a column of boxes ticks all of them.

for (const form of document.querySelectorAll("form[data-select]")) {
  const all = form.querySelector("input[data-all]");
  const boxes = () => [...form.querySelectorAll("tbody input[type=checkbox]")];
  if (!all) continue;
  all.hidden = false;
  all.addEventListener("change", () => boxes().forEach((box) => (box.checked = all.checked)));
  form.addEventListener("change", (event) => {
    if (event.target === all) return;
    const ticked = boxes().filter((box) => box.checked).length;
    all.checked = ticked > 0 && ticked === boxes().length;
    all.indeterminate = ticked > 0 && !all.checked;
  });
}
