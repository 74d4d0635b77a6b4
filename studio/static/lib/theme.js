// @ts-check
// A classic script, run before the first paint: the chosen theme must not flash in.
(() => {
  try {
    const theme = localStorage.getItem("jukebox.theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch {
    // Storage is forbidden here: the system's theme is used.
  }
})();
