// Runs before the first paint, so that a chosen theme never flashes.
(() => {
  const KEY = "clockmill-theme";
  const WORDS = ["system", "light", "dark"];
  const root = document.documentElement;

  const read = () => {
    try {
      return WORDS.includes(localStorage.getItem(KEY)) ? localStorage.getItem(KEY) : "system";
    } catch {
      return "system"; // storage is forbidden in this browser
    }
  };

  const apply = (word) => {
    if (word === "system") delete root.dataset.theme;
    else root.dataset.theme = word;
  };

  apply(read());

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const show = (word) => {
      button.querySelector("span").textContent = word;
      button.setAttribute("aria-label", `Theme: ${word}. Press to change it.`);
      button.title = `Theme: ${word}`;
    };
    show(read());
    button.hidden = false;
    button.addEventListener("click", () => {
      const word = WORDS[(WORDS.indexOf(read()) + 1) % WORDS.length];
      try {
        localStorage.setItem(KEY, word);
      } catch {
        // The choice then lasts as long as this page.
      }
      apply(word);
      show(word);
    });
  });
})();
