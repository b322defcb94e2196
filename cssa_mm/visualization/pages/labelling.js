'use strict';

// What the page was made with: classes, photos, predictions; nothing in it is changed.
const data = JSON.parse(document.getElementById('data').textContent);
const storageKey = `cssa-labels-${data.project}`;
// Keys of the classes; s saves and z undoes.
const KEYS = [...'123456789abcdefghijklmnopqrtuvwxy'];
const FORMAT = 1;
const SWIPE = 50; // pixels

const element = (id) => document.getElementById(id);
const classButtons = [];
const history = []; // what an undo brings back: photo and its answer before
let position = 0;
let answers = {}; // name of a photo -> {classes: numbers that are set, confirmed}
let savedText = ''; // the table as it was saved last
let isKept = true; // by the browser

// -- answers ---------------------------------------------------------------------------------------------------

function answerOf(photo) {
  return answers[photo.name] || { classes: photo.predicted, confirmed: false };
}

function stateOf(photo) {
  if (!answers[photo.name]) return 'open';
  return answers[photo.name].confirmed ? 'confirmed' : 'changed';
}

function confirmedPhotos() {
  return data.photos.filter((photo) => stateOf(photo) === 'confirmed');
}

function setAnswer(photo, answer) {
  history.push({ position, before: answers[photo.name] });
  answers[photo.name] = answer;
  keep();
}

function toggle(number) {
  const photo = data.photos[position];
  const classes = new Set(answerOf(photo).classes);
  if (!classes.delete(number)) classes.add(number);
  setAnswer(photo, { classes: [...classes].sort((a, b) => a - b), confirmed: false });
  show();
}

function confirm() {
  const photo = data.photos[position];
  if (stateOf(photo) !== 'confirmed') setAnswer(photo, { classes: [...answerOf(photo).classes], confirmed: true });
  const open = nextOpen();
  if (open === null) {
    say('All photos are confirmed. Save labels.csv to take them along.');
    show();
  } else {
    go(open);
  }
}

function nextOpen() {
  for (let step = 1; step < data.photos.length; step += 1) {
    const number = (position + step) % data.photos.length;
    if (stateOf(data.photos[number]) !== 'confirmed') return number;
  }
  return null;
}

function undo() {
  const last = history.pop();
  if (!last) return;
  const { name } = data.photos[last.position];
  if (last.before) answers[name] = last.before;
  else delete answers[name];
  keep();
  go(last.position);
}

// -- what the browser keeps ------------------------------------------------------------------------------------

function keep() {
  try {
    localStorage.setItem(storageKey, JSON.stringify({ format: FORMAT, answers, savedText }));
    isKept = true;
    warn('');
  } catch (error) {
    isKept = false;
    warn(`This browser keeps nothing (${error.name}): what you do here is lost when the page is closed. Save labels.csv `
      + 'before you leave.');
  }
}

function recall(text) {
  if (text === null) return;
  try {
    const kept = JSON.parse(text);
    if (kept.format !== FORMAT) throw new Error('another format');
    answers = checked(kept.answers);
    savedText = String(kept.savedText);
  } catch (error) {
    const aside = `${storageKey}-unreadable`;
    localStorage.setItem(aside, text);
    warn(`What this browser has kept for these photos cannot be read (${error.message}). It is put aside as ${aside}.`);
  }
}

function checked(found) {
  const names = new Set(data.photos.map((photo) => photo.name));
  return Object.fromEntries(
    Object.entries(found).filter(([name, answer]) => names.has(name) && Array.isArray(answer.classes)),
  );
}

function recallAtStart() {
  try {
    recall(localStorage.getItem(storageKey));
    localStorage.setItem(`${storageKey}-test`, '1');
    localStorage.removeItem(`${storageKey}-test`);
  } catch (error) {
    isKept = false;
    warn(`This browser keeps nothing (${error.name}): what you do here is lost when the page is closed. Save labels.csv `
      + 'before you leave.');
  }
}

function followOtherTab(event) {
  if (event.key !== storageKey) return;
  if (event.newValue === null) {
    keep(); // somebody has emptied the storage: this tab still has everything
    return;
  }
  recall(event.newValue);
  history.length = 0;
  say('This page is open in another tab, too: its answers are shown here now.');
  show();
}

// -- the table that is saved -----------------------------------------------------------------------------------

function cell(text) {
  return /[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function tableText() {
  const rows = confirmedPhotos().map((photo) => {
    const set = new Set(answerOf(photo).classes);
    return [photo.name, ...data.classes.map((_, number) => (set.has(number) ? '1' : '0'))];
  });
  return [[data.image_column, ...data.classes], ...rows].map((row) => `${row.map(cell).join(',')}\n`).join('');
}

function isUnsaved() {
  return confirmedPhotos().length > 0 && tableText() !== savedText;
}

function save() {
  const count = confirmedPhotos().length;
  if (!count) {
    say('No photo is confirmed yet, so there is nothing to save: press Enter when the classes of a photo are right.');
    return;
  }
  const text = tableText();
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([text], { type: 'text/csv' }));
  link.download = 'labels.csv';
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  savedText = text;
  keep();
  const changed = data.photos.filter((photo) => stateOf(photo) === 'changed').length;
  say(`${count} ${plural(count, 'photo')} saved as labels.csv in your downloads.`
    + (changed ? ` ${changed} ${plural(changed, 'photo')} changed but not confirmed: not in the file.` : ''));
  show();
}

function plural(count, word) {
  return count === 1 ? word : `${word}s`;
}

// -- what is shown ---------------------------------------------------------------------------------------------

function say(text) {
  element('said').textContent = text;
  element('said').hidden = !text;
}

function warn(text) {
  element('warning').textContent = text;
  element('warning').hidden = !text;
}

function go(number) {
  position = (number + data.photos.length) % data.photos.length;
  say('');
  show();
}

function show() {
  showPhoto();
  showClasses();
  showProgress();
}

function showPhoto() {
  const photo = data.photos[position];
  const image = element('photo');
  const source = `data:image/jpeg;base64,${photo.jpeg}`;
  if (image.src !== source) image.src = source;
  image.alt = `Photo ${photo.name}`;
  element('place').textContent = `${position + 1} of ${data.photos.length}`;
  element('name').textContent = photo.name;
  element('why').textContent = photo.why;
}

function showClasses() {
  const photo = data.photos[position];
  const state = stateOf(photo);
  const set = new Set(answerOf(photo).classes);
  const words = {
    open: `Predicted by ${data.model || 'the model'}, not confirmed`,
    changed: 'Changed, not confirmed: press Enter',
    confirmed: set.size ? 'Confirmed' : 'Confirmed: none of the classes',
  };
  element('state').textContent = words[state];
  element('state').className = `state ${state}`;
  classButtons.forEach((button, number) => {
    const isPredicted = photo.predicted.includes(number);
    const isOpen = state !== 'confirmed' && isPredicted;
    button.setAttribute('aria-pressed', String(set.has(number)));
    button.classList.toggle('predicted', isOpen);
    const score = photo.scores.length ? `${Math.round(100 * photo.scores[number])} %` : '';
    button.querySelector('.score').textContent = isPredicted ? `predicted ${score}` : score;
  });
}

function showProgress() {
  const count = confirmedPhotos().length;
  element('bar').max = data.photos.length;
  element('bar').value = count;
  const unsaved = isUnsaved() ? ', not saved' : '';
  element('progress').textContent = `${count} of ${data.photos.length} confirmed${unsaved}`;
  element('undo').disabled = !history.length;
}

function makeClassButton(name, number) {
  const button = document.createElement('button');
  button.type = 'button';
  button.className = 'class';
  for (const [tag, kind, text] of [['kbd', 'key', KEYS[number] || '·'], ['span', 'label', name], ['span', 'score', '']]) {
    const part = document.createElement(tag);
    part.className = kind;
    part.textContent = text;
    button.append(part);
  }
  button.addEventListener('click', () => toggle(number));
  element('classes').append(button);
  classButtons.push(button);
}

// -- search, keys and swipes -----------------------------------------------------------------------------------

function matches() {
  const wanted = element('search').value.trim().toLowerCase();
  const numbers = data.classes.map((_, number) => number);
  const found = numbers.filter((number) => data.classes[number].toLowerCase().includes(wanted));
  const begins = (number) => data.classes[number].toLowerCase().startsWith(wanted);
  return [...found.filter(begins), ...found.filter((number) => !begins(number))];
}

function filterClasses() {
  const shown = new Set(matches());
  classButtons.forEach((button, number) => {
    button.hidden = !shown.has(number);
  });
  element('no-class').hidden = shown.size > 0;
}

function searchKey(event) {
  if (event.key === 'Escape') {
    leaveSearch();
  } else if (event.key === 'Enter') {
    event.preventDefault();
    const [first] = matches();
    if (element('search').value.trim() === '') {
      leaveSearch();
    } else if (first !== undefined) {
      toggle(first);
      leaveSearch();
    }
  }
}

function leaveSearch() {
  element('search').value = '';
  filterClasses();
  element('search').blur();
}

function pressed(event) {
  if (element('keys').open) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if ((event.ctrlKey || event.metaKey) && !event.altKey && (key === 's' || key === 'z')) {
    event.preventDefault();
    (key === 's' ? save : undo)();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || event.target === element('search')) return;
  const isOtherButton = event.target.closest('button') && !event.target.closest('.class');
  if (key === 'Enter' && isOtherButton) return;
  const actions = {
    Enter: confirm,
    ArrowLeft: () => go(position - 1),
    ArrowRight: () => go(position + 1),
    '/': () => element('search').focus(),
    z: undo,
    s: save,
  };
  const number = KEYS.indexOf(key);
  if (Object.hasOwn(actions, key)) {
    event.preventDefault();
    actions[key]();
  } else if (number >= 0 && number < data.classes.length) {
    event.preventDefault();
    toggle(number);
  }
}

function followSwipes(stage) {
  let start = null;
  stage.addEventListener('touchstart', (event) => {
    start = event.touches.length === 1 ? event.touches[0] : null;
  }, { passive: true });
  stage.addEventListener('touchend', (event) => {
    if (!start) return;
    const end = event.changedTouches[0];
    const [right, down] = [end.clientX - start.clientX, end.clientY - start.clientY];
    if (Math.abs(right) > SWIPE && Math.abs(right) > 2 * Math.abs(down)) go(position + (right < 0 ? 1 : -1));
    start = null;
  });
}

function warnBeforeLeaving(event) {
  const isLost = !isKept && Object.keys(answers).length > 0 && tableText() !== savedText;
  if (isUnsaved() || isLost) event.preventDefault();
}

// -- start -----------------------------------------------------------------------------------------------------

data.classes.forEach(makeClassButton);
element('undo').addEventListener('click', undo);
element('save').addEventListener('click', save);
element('confirm').addEventListener('click', confirm);
element('previous').addEventListener('click', () => go(position - 1));
element('next').addEventListener('click', () => go(position + 1));
element('show-keys').addEventListener('click', () => element('keys').showModal());
element('hide-keys').addEventListener('click', () => element('keys').close());
element('search').addEventListener('input', filterClasses);
element('search').addEventListener('keydown', searchKey);
document.addEventListener('keydown', pressed);
window.addEventListener('storage', followOtherTab);
window.addEventListener('beforeunload', warnBeforeLeaving);
followSwipes(element('stage'));
recallAtStart();
position = Math.max(0, data.photos.findIndex((photo) => stateOf(photo) !== 'confirmed'));
show();
