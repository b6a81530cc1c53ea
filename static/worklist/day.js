// Puts the steps of a day where their time is: the policy of our pages lets scripts place what markup may not.

const PER_MINUTE = 1.6; // pixels

const px = (minutes) => `${Math.round(minutes * PER_MINUTE)}px`;

const place = () => {
  const board = document.querySelector("[data-board]");
  if (!board) return;
  const first = Number(board.dataset.first);
  const height = px(Number(board.dataset.hours) * 60);
  for (const body of board.querySelectorAll(".column-body")) body.style.height = height;
  for (const hour of board.querySelectorAll(".hour")) hour.style.height = px(60);
  for (const block of board.querySelectorAll(".block")) {
    const { start, minutes, lane, lanes } = block.dataset;
    block.style.top = px(start - first);
    block.style.height = px(minutes);
    block.style.left = `${(100 * lane) / lanes}%`;
    block.style.width = `${100 / lanes}%`;
    block.classList.toggle("low", minutes < 28);
  }
  board.classList.add("placed");
  now(board, first);
};

const now = (board, first) => {
  board.querySelectorAll(".now").forEach((line) => line.remove());
  if (board.dataset.today === undefined) return;
  const time = new Date();
  const minutes = time.getHours() * 60 + time.getMinutes() - first;
  if (minutes < 0 || minutes > Number(board.dataset.hours) * 60) return;
  for (const body of board.querySelectorAll(".column-body")) {
    const line = document.createElement("span");
    line.className = "now";
    line.style.top = px(minutes);
    body.append(line);
  }
};

const keep = { left: 0, top: 0 };
document.addEventListener("htmx:beforeSwap", () => {
  const board = document.querySelector("[data-board]");
  if (board) Object.assign(keep, { left: board.scrollLeft, top: board.scrollTop });
});
document.addEventListener("htmx:afterSwap", () => {
  place();
  const board = document.querySelector("[data-board]");
  if (board) Object.assign(board, { scrollLeft: keep.left, scrollTop: keep.top });
});
place();
setInterval(place, 60_000);

document.querySelector("form[data-submits]")?.addEventListener("change", (event) => event.currentTarget.requestSubmit());
