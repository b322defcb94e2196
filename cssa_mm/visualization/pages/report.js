'use strict';

// What the page does beyond showing: sort and filter tables, filter images, lay a picture over an image.

function sortTable(table, column, descending) {
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const sign = descending ? -1 : 1;
  const number = (row) => parseFloat(row.cells[column].dataset.value);
  const text = (row) => row.cells[column].textContent;
  const isNumeric = rows.some((row) => 'value' in row.cells[column].dataset);
  rows.sort((first, second) => {
    if (!isNumeric) return sign * text(first).localeCompare(text(second));
    const [a, b] = [number(first), number(second)];
    // What has no value stands last, whichever way.
    if (isNaN(a) || isNaN(b)) return isNaN(a) - isNaN(b);
    return sign * (a - b);
  });
  body.append(...rows);
}

function makeSortable(table) {
  const heads = Array.from(table.tHead.rows[0].cells);
  heads.forEach((head, column) => {
    head.querySelector('button').addEventListener('click', () => {
      const first = head.classList.contains('number') ? 'descending' : 'ascending';
      const other = first === 'descending' ? 'ascending' : 'descending';
      const order = head.getAttribute('aria-sort') === first ? other : first;
      heads.forEach((each) => each.setAttribute('aria-sort', each === head ? order : 'none'));
      sortTable(table, column, order === 'descending');
    });
  });
}

function makeFilterable(table, field, count) {
  const rows = Array.from(table.tBodies[0].rows);
  field.addEventListener('input', () => {
    const words = field.value.toLowerCase();
    rows.forEach((row) => {
      row.hidden = !row.cells[0].textContent.toLowerCase().includes(words);
    });
    const shown = rows.filter((row) => !row.hidden).length;
    count.textContent = words ? `${shown} of ${rows.length}` : '';
  });
}

function filterPictures() {
  const kind = document.getElementById('kind-filter').value;
  const label = document.getElementById('label-filter').value;
  const pictures = Array.from(document.querySelectorAll('#gallery .pictures > li'));
  pictures.forEach((picture) => {
    const isOfKind = !kind || picture.dataset.kinds.split(' ').includes(kind);
    picture.hidden = !isOfKind || (label !== '' && !JSON.parse(picture.dataset.labels).includes(label));
  });
  const shown = pictures.filter((picture) => !picture.hidden).length;
  document.getElementById('picture-count').textContent = `${shown} of ${pictures.length}`;
}

function toggleOverlay(button) {
  const picture = button.closest('li[data-kinds]');
  const wasPressed = button.getAttribute('aria-pressed') === 'true';
  picture.querySelectorAll('.overlay').forEach((overlay) => overlay.remove());
  picture.querySelectorAll('[aria-pressed]').forEach((each) => each.setAttribute('aria-pressed', 'false'));
  if (wasPressed) return;
  button.setAttribute('aria-pressed', 'true');
  const overlay = document.createElement('img');
  overlay.className = 'overlay';
  overlay.src = button.dataset.overlay;
  overlay.alt = `where the model looked for ${button.firstChild.textContent.trim()}`;
  picture.querySelector('.frame').append(overlay);
}

document.querySelectorAll('table.sortable').forEach(makeSortable);
const classTable = document.getElementById('class-table');
if (classTable) {
  makeFilterable(classTable, document.getElementById('class-filter'), document.getElementById('class-count'));
}
if (document.getElementById('kind-filter')) {
  document.getElementById('kind-filter').addEventListener('change', filterPictures);
  document.getElementById('label-filter').addEventListener('change', filterPictures);
}
document.querySelectorAll('[data-overlay]').forEach((button) => {
  button.addEventListener('click', () => toggleOverlay(button));
});
