// The button of the start page that opens the example and starts it (static/example.js).
document.getElementById("try-example")?.addEventListener("click", () => {
  sessionStorage.setItem("example", "started");
  location.assign("/example");
});
