// The console: asks /api/v1 every two seconds, follows the tail, and puts everything it is told on the page as text.
'use strict';

const PERIOD = 2000, HIDDEN_PERIOD = 15000, SLOWEST = 30000, POINTS = 150, TAIL_ROWS = 200, CLIENTS = 50;
const id = (name) => document.getElementById(name);
const state = {
  points: [], last: null, failures: 0, timer: 0, heard: 0, find: '', paused: false, tailRows: 0, missed: 0,
  waiting: [], tailing: null, filters: new Map(), filterTimes: new Map(), busy: false,
};

// ---------------------------------------------------------------- putting things on the page

function el(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name === 'text') node.textContent = value;
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

function svg(tag, attributes) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

const set = (node, text) => { if (node.textContent !== text) node.textContent = text; };

function short(number) {
  if (!Number.isFinite(number)) return '–';
  const steps = [[1e9, 'G'], [1e6, 'M'], [1e3, 'k']];
  for (const [size, letter] of steps) if (number >= size) return (number / size).toFixed(number >= size * 100 ? 0 : 1) + letter;
  return number >= 100 || Number.isInteger(number) ? String(Math.round(number)) : number >= 10 ? number.toFixed(1) : number.toFixed(2);
}

function bytes(number) {
  const steps = [[1 << 30, 'GiB'], [1 << 20, 'MiB'], [1 << 10, 'KiB']];
  for (const [size, unit] of steps) if (number >= size) return [(number / size).toFixed(1), unit + '/s'];
  return [String(Math.round(number)), 'B/s'];
}

function duration(ms) {
  if (ms === null || ms === undefined) return ['–', ''];
  if (ms >= 1000) return [(ms / 1000).toFixed(ms >= 10000 ? 0 : 1), 's'];
  return [ms >= 10 ? ms.toFixed(0) : ms >= 1 ? ms.toFixed(1) : ms.toFixed(2), 'ms'];
}

function ago(text) {
  const seconds = Math.max(0, (Date.now() - Date.parse(text)) / 1000);
  if (seconds < 60) return Math.floor(seconds) + ' s ago';
  if (seconds < 3600) return Math.floor(seconds / 60) + ' min ago';
  if (seconds < 172800) return Math.floor(seconds / 3600) + ' h ago';
  return Math.floor(seconds / 86400) + ' days ago';
}

const clock = (text) => new Date(text).toLocaleTimeString([], { hour12: false });

function say(text) {
  const node = id('said');
  node.textContent = text;
  node.classList.add('shown');
  clearTimeout(say.timer);
  say.timer = setTimeout(() => node.classList.remove('shown'), 6000);
}

// ---------------------------------------------------------------- asking

class Refused extends Error {
  constructor(status, problem) { super(problem.error || 'HTTP ' + status); this.status = status; this.accepted = problem.accepted || ''; }
}

function headers(more) {
  const token = sessionStorage.getItem('gimbal-token');
  return Object.assign(token ? { Authorization: 'Bearer ' + token } : {}, more);
}

async function ask(path, options) {
  const within = new AbortController();
  const timer = setTimeout(() => within.abort(), 10000);
  try {
    const answer = await fetch(path, Object.assign({ headers: headers(), signal: within.signal, cache: 'no-store' }, options));
    if (!answer.ok) throw new Refused(answer.status, await answer.json().catch(() => ({})));
    return await answer.json();
  } finally {
    clearTimeout(timer);
  }
}

const act = (path, body) => ask(path, { method: 'POST', headers: headers({ 'Content-Type': 'application/json' }), body: JSON.stringify(body || {}) });

function askForToken() {
  const dialog = id('ask-token');
  if (dialog.open) return;
  if (sessionStorage.getItem('gimbal-token')) set(id('token-text'), 'That is not the token of this listener. It is in the file that admin.token_path names.');
  dialog.showModal();
  id('token').focus();
}

// ---------------------------------------------------------------- traffic

function quantile(buckets, before, part) {
  const counts = buckets.map((bucket, at) => bucket.count - (before && before[at] ? before[at].count : 0));
  const total = counts.length ? counts[counts.length - 1] : 0;
  if (total <= 0) return null;
  const wanted = total * part;
  let low = 0, below = 0;
  for (let at = 0; at < counts.length; at += 1) {
    const high = buckets[at].le_ms === null ? low : buckets[at].le_ms;
    if (counts[at] >= wanted) return low + (high - low) * (counts[at] === below ? 1 : (wanted - below) / (counts[at] - below));
    low = high; below = counts[at];
  }
  return low;
}

function difference(now, before, name, key) {
  const of = (overview) => key === undefined ? overview[name] : (overview[name] || {})[key] || 0;
  return Math.max(0, of(now) - of(before));
}

function measure(overview) {
  const last = state.last;
  state.last = overview;
  if (!last || last.started_ms !== overview.started_ms || overview.time_ms <= last.time_ms) { state.points = []; return null; }
  const seconds = (overview.time_ms - last.time_ms) / 1000;
  const rate = (name, key) => difference(overview, last, name, key) / seconds;
  const window = state.points.length >= 4 ? state.points[state.points.length - 4].latency : last.latency;
  const point = {
    time: overview.time_ms, latency: overview.latency,
    requests: rate('requests'), bytes: rate('bytes_in') + rate('bytes_out'), sessions: overview.sessions, in_flight: overview.in_flight,
    denied: rate('outcomes', 'denied') + rate('outcomes', 'dropped') + rate('outcomes', 'closed'),
    failed: rate('outcomes', 'failed') + rate('outcomes', 'refused'),
    p50: quantile(overview.latency, window, 0.5), p99: quantile(overview.latency, window, 0.99),
    topics: names(overview, last, 'topics', seconds), codes: names(overview, last, 'codes', seconds),
  };
  state.points.push(point);
  if (state.points.length > POINTS) state.points.shift();
  // Of old points nothing but the lines is needed.
  const old = state.points[state.points.length - 6];
  if (old) { old.latency = null; old.topics = null; old.codes = null; }
  return point;
}

function names(now, before, group, seconds) {
  const all = Object.keys(now[group] || {}).map((name) => [name, difference(now, before, group, name) / seconds]);
  return all.filter(([, rate]) => rate > 0).sort((a, b) => b[1] - a[1]).slice(0, 8);
}

function line(values, width, height, most) {
  const step = width / Math.max(1, POINTS - 1), start = width - step * (values.length - 1);
  let path = '', pen = 'M';
  values.forEach((value, at) => {
    if (value === null || !Number.isFinite(value)) { pen = 'M'; return; }
    path += pen + (start + at * step).toFixed(1) + ',' + (height - 2 - (height - 6) * value / most).toFixed(1);
    pen = 'L';
  });
  return path;
}

function nice(most) {
  if (!(most > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= most);
}

const TILES = [
  ['requests', 'Requests', (value) => [short(value), '/s'], false],
  ['denied', 'Denied by filters', (value) => [short(value), '/s'], false],
  ['failed', 'Failed or refused', (value) => [short(value), '/s'], true],
  ['p99', 'Latency, 99 of 100', duration, false],
  ['sessions', 'Clients', (value) => [short(value), ''], false],
  ['bytes', 'Bytes, both ways', bytes, false],
];

function drawTiles(point) {
  const tiles = id('tiles');
  if (!tiles.childElementCount) {
    for (const [key, name] of TILES) {
      const line = svg('svg', { viewBox: '0 0 150 28', preserveAspectRatio: 'none', 'aria-hidden': 'true' });
      line.append(svg('path', { class: 'spark' }));
      tiles.append(el('div', { class: 'tile', id: 'tile-' + key }, el('div', { class: 'name', text: name }),
        el('div', { class: 'value' }, el('span', {}), el('span', { class: 'unit' })), line));
    }
  }
  for (const [key, , form, alarms] of TILES) {
    const tile = id('tile-' + key), value = tile.querySelector('.value');
    const [number, unit] = point ? form(point[key]) : ['–', ''];
    set(value.firstChild, number);
    set(value.lastChild, unit);
    tile.classList.toggle('hot', Boolean(alarms && point && point[key] > 0));
    const values = state.points.map((one) => one[key]);
    tile.querySelector('path').setAttribute('d', line(values, 150, 28, Math.max(1e-9, ...values.filter(Number.isFinite))));
  }
}

function drawChart(name, series, form) {
  const chart = id(name + '-chart'), legend = id(name + '-legend');
  const all = series.flatMap(([, key]) => state.points.map((point) => point[key])).filter(Number.isFinite);
  const most = nice(Math.max(0, ...all)), parts = [];
  for (const y of [42, 84, 126]) parts.push(svg('line', { class: 'grid', x1: 0, x2: 600, y1: y, y2: y }));
  for (const [, key, letter] of series) {
    const path = line(state.points.map((point) => point[key]), 600, 170, most);
    if (path && !path.slice(1).includes('M') && path.includes('L')) {
      const end = path.lastIndexOf('L'), from = path.slice(1, path.indexOf(',')), to = path.slice(end + 1).split(',')[0];
      parts.push(svg('path', { class: 'area ' + letter, d: path + 'L' + to + ',170L' + from + ',170Z' }));
    }
    parts.push(svg('path', { class: 'series ' + letter, d: path }));
  }
  chart.replaceChildren(...parts);
  const now = state.points[state.points.length - 1];
  const told = series.map(([label, key]) => label + ' ' + (now ? form(now[key]).join(' ') : '–'));
  chart.setAttribute('aria-label', told.join(', '));
  legend.replaceChildren(...series.map(([, , letter], at) => el('span', { class: letter, text: told[at] })));
  const span = state.points.length > 1 ? Math.round((now.time - state.points[0].time) / 1000) : 0;
  const full = Math.round((POINTS - 1) * PERIOD / 60000);
  set(id(name + '-from'), full + ' min ago');
  set(id(name + '-max'), 'top: ' + form(most).join(' '));
  set(id('span'), span >= 60 ? 'the last ' + Math.round(span / 60) + ' min' : 'the last ' + span + ' s');
}

function drawBars(name, entries) {
  const most = entries.length ? entries[0][1] : 1;
  const rows = entries.map(([label, rate]) => el('li', {}, el('span', { text: label, title: label }), el('span', { class: 'num', text: short(rate) + '/s' }), el('progress', { max: most, value: rate, 'aria-hidden': 'true' })));
  id(name).replaceChildren(...(rows.length ? rows : [el('li', { class: 'quiet', text: 'nothing in the last two seconds' })]));
}

// ---------------------------------------------------------------- status

function drawStatus(status) {
  set(id('version'), status.version + ' · up ' + ago(status.started).replace(' ago', ''));
  const banner = id('banner'), trouble = status.counts.filters_in_trouble;
  const last = status.reloads[status.reloads.length - 1];
  let kind = 'ok', title = 'Ready', text = 'Configuration ' + status.generation + ', filters ' + status.chain_generation + '. New clients are welcome.';
  if (!status.ready) { kind = 'bad'; title = status.draining ? 'Leaving' : 'Not ready'; text = status.reasons.join(' · '); }
  else if (trouble) { kind = 'warn'; title = 'Ready, with a filter in trouble'; text = trouble === 1 ? 'What the folder holds of one filter cannot be used.' : 'What the folder holds of ' + trouble + ' filters cannot be used.'; }
  else if (last && !last.ok) { kind = 'warn'; title = 'Ready, on the old configuration'; text = last.problems.join(' · '); }
  banner.className = 'banner ' + kind;
  set(id('banner-title'), title);
  set(id('banner-text'), text);
}

function drawHistory(status, filters) {
  const rows = status.reloads.map((reload) => ({
    time: reload.time, tag: reload.ok ? 'ok' : 'bad', word: reload.ok ? 'in force' : 'refused',
    what: 'Configuration ' + reload.generation + ' (' + reload.reason + ')',
    why: reload.problems.join('\n') || [reload.changed.length ? 'changed: ' + reload.changed.join(', ') : '', reload.needs_restart.length ? 'after a restart: ' + reload.needs_restart.join(', ') : ''].filter(Boolean).join('\n'),
  }));
  for (const filter of filters) for (const event of filter.history) {
    rows.push({ time: event.when, tag: event.event === 'failed' ? 'bad' : event.event === 'disabled' || event.event === 'off' ? 'warn' : 'ok', word: event.event, what: 'Filter ' + filter.name + ', filters ' + event.generation, why: event.text });
  }
  rows.sort((a, b) => b.time.localeCompare(a.time));
  const sign = JSON.stringify(rows.slice(0, 60));
  if (drawHistory.sign === sign) return;
  drawHistory.sign = sign;
  id('history-rows').replaceChildren(...rows.slice(0, 60).map((row) => el('li', {}, el('time', { datetime: row.time, text: clock(row.time) }),
    el('span', { class: 'tag ' + row.tag, text: row.word }), el('span', { text: row.what }), ...(row.why ? [el('span', { class: 'why', text: row.why })] : []))));
}

// ---------------------------------------------------------------- filters

function makeFilter(filter) {
  const button = el('button', { type: 'button' });
  const facts = ['Calls', 'Cost', 'Decided', 'Failed'].map((name) => { const dd = el('dd', { text: '–' }); return [el('div', {}, el('dt', { text: name }), dd), dd]; });
  const parts = {
    name: el('h3', { text: filter.name }), version: el('span', { class: 'quiet' }), tag: el('span', { class: 'tag' }), button,
    about: el('p', { class: 'quiet' }), wrong: el('p', { class: 'wrong' }), facts: facts.map(([, dd]) => dd), shown: filter, before: null,
  };
  parts.card = el('article', { class: 'filter' }, el('header', {}, parts.name, parts.version, el('span', { class: 'grow' }), parts.tag),
    parts.about, el('dl', { class: 'facts' }, ...facts.map(([div]) => div)), parts.wrong, el('p', {}, button));
  button.addEventListener('click', () => switchFilter(parts));
  return parts;
}

function updateFilter(parts, filter, seconds) {
  const counts = filter.counters, before = parts.before;
  parts.shown = filter;
  parts.before = counts;
  set(parts.version, filter.version || '');
  set(parts.about, filter.description || filter.file);
  const [word, kind] = filter.is_disabled ? ['disabled', 'warn'] : filter.mode === 'off' ? ['off', ''] : filter.serving === 'refusal' ? ['refuses everything', 'bad']
    : filter.trouble ? ['old version', 'bad'] : filter.mode === 'shadow' ? ['shadow', 'warn'] : filter.serving === 'nothing' ? ['not in force', 'bad'] : ['in force', 'ok'];
  set(parts.tag, word);
  parts.tag.className = 'tag ' + kind;
  parts.card.className = 'filter' + (filter.is_disabled || filter.mode === 'off' ? ' out' : '') + (filter.trouble ? ' trouble' : '');
  const rate = before && seconds > 0 ? Math.max(0, counts.calls - before.calls) / seconds : 0;
  const calls = before && counts.calls > before.calls ? counts.calls - before.calls : counts.calls;
  const nanos = before && counts.calls > before.calls ? counts.nanos - before.nanos : counts.nanos;
  set(parts.facts[0], short(rate) + '/s');
  set(parts.facts[1], calls ? short(nanos / calls / 1000) + ' µs' : '–');
  set(parts.facts[2], short(counts.answers + counts.delays + counts.drops + counts.closes));
  set(parts.facts[3], short(counts.failures));
  parts.facts[2].title = [['answered', counts.answers], ['delayed', counts.delays], ['dropped', counts.drops], ['closed', counts.closes], ['in shadow', counts.shadowed]].map(([what, count]) => what + ' ' + count).join(', ');
  const wrong = filter.trouble ? filter.trouble.step + ': ' + filter.trouble.text : counts.last_failure && Date.now() - Date.parse(counts.last_failure_at) < 600000 ? 'failed ' + ago(counts.last_failure_at) + ': ' + counts.last_failure : '';
  set(parts.wrong, wrong);
  parts.wrong.hidden = !wrong;
  set(parts.button, filter.is_disabled ? 'Enable' : 'Disable');
  parts.button.setAttribute('aria-label', (filter.is_disabled ? 'Enable ' : 'Disable ') + filter.name);
  parts.button.disabled = !filter.is_disabled && (filter.is_required || filter.mode === 'off');
  parts.button.title = filter.is_required ? 'required by the configuration' : '';
}

function drawFilters(filters, seconds) {
  const list = id('filter-list');
  const known = new Set(filters.map((filter) => filter.name));
  for (const [name, parts] of state.filters) if (!known.has(name)) { parts.card.remove(); state.filters.delete(name); }
  const order = [...filters].sort((a, b) => (a.file || a.name).localeCompare(b.file || b.name));
  for (const filter of order) {
    if (!state.filters.has(filter.name)) { const parts = makeFilter(filter); state.filters.set(filter.name, parts); list.append(parts.card); }
    updateFilter(state.filters.get(filter.name), filter, seconds);
  }
  order.forEach((filter, at) => { const card = state.filters.get(filter.name).card; if (list.children[at] !== card) list.insertBefore(card, list.children[at] || null); });
  const none = id('no-filters');
  if (!filters.length && !none) list.append(el('p', { class: 'card quiet', id: 'no-filters', text: 'No filters run here.' }));
  if (filters.length && none) none.remove();
  set(id('filters-count'), filters.length ? String(filters.length) : '');
}

async function switchFilter(parts) {
  const { name, is_disabled: disabled, on_error: policy } = parts.shown;
  if (!disabled && !await sure('Disable ' + name + '?', 'Commands pass without it from then on, until it is enabled, saved again with other content, or Gimbal starts again.' + (policy === 'closed' ? ' It is one that refuses when it fails.' : ''), 'Disable')) return;
  parts.button.disabled = true;
  try {
    const done = await act('/api/v1/filters/' + encodeURIComponent(name) + (disabled ? '/enable' : '/disable'));
    say(done.done);
  } catch (error) {
    say(error.message);
  }
  parts.button.disabled = false;
  refreshSoon();
}

function sure(title, text, yes) {
  const dialog = id('ask-sure');
  set(id('sure-title'), title);
  set(id('sure-text'), text);
  set(id('sure-yes'), yes);
  dialog.returnValue = 'no';
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'), { once: true }));
}

// ---------------------------------------------------------------- clients and brokers

function row(cells) {
  return el('tr', {}, ...cells.map(([label, content, kind]) => {
    const cell = el('td', { 'data-label': label, class: kind });
    if (content instanceof Node) cell.append(content); else cell.textContent = content;
    return cell;
  }));
}

const nothing = (columns, text) => el('tr', {}, el('td', { class: 'none', colspan: columns, text }));
const few = (list) => list.length > 3 ? list.slice(0, 3).join(', ') + ' and ' + (list.length - 3) + ' more' : list.join(', ') || '–';

function drawClients(page) {
  set(id('clients-count'), state.find ? page.matched + ' of ' + page.total : page.total > page.sessions.length ? 'the busiest ' + page.sessions.length + ' of ' + page.total : String(page.total));
  const rows = page.sessions.map((one) => row([
    ['Client', one.client || 'session ' + one.session, 'mono'], ['Address', one.peer + (one.user ? ' · ' + one.user : ''), 'mono'], ['Speaks', (one.language + ' ' + one.version).trim() || '–', ''],
    ['Groups', few(one.producers.concat(one.consumers)), ''], ['Topics', few(one.topics), ''],
    ['Rate', short(one.requests_per_s) + '/s', 'num'], ['In flight', String(one.in_flight) + (one.held ? ' + ' + one.held + ' held' : ''), 'num'],
  ]));
  id('client-rows').replaceChildren(...(rows.length ? rows : [nothing(7, state.find ? 'Nobody fits.' : 'No client is connected.')]));
}

function health(one) {
  if (!one) return el('span', { class: 'tag', text: 'not tried yet' });
  if (one.circuit === 'closed') return el('span', { class: one.failures_in_row ? 'tag warn' : 'tag ok', text: one.failures_in_row ? 'failing' : 'reachable' });
  return el('span', { class: 'tag bad', text: one.circuit === 'open' ? 'unreachable' : 'trying' });
}

const trouble = (one) => one && one.last_error ? one.last_error + (one.last_error_at ? ' (' + ago(one.last_error_at) + ')' : '') : '–';

function drawBrokers(upstreams) {
  const rows = [];
  for (const one of upstreams.brokers) {
    const worst = one.health.find((peer) => peer.circuit !== 'closed') || one.health[0];
    rows.push(row([['Name', one.name, 'mono'], ['Address', Object.entries(one.addresses).map(([number, address]) => number === '0' ? address : address + ' (' + number + ')').join(', ') || 'none known', 'mono'],
      ['State', health(worst), ''], ['Links', String(one.links), 'num'], ['In flight', String(one.in_flight), 'num'], ['Last trouble', trouble(worst), '']]));
  }
  for (const one of upstreams.nameservers) {
    rows.push(row([['Name', 'name server', ''], ['Address', one.address, 'mono'], ['State', health(one.health), ''], ['Links', one.health ? String(one.health.connections) : '–', 'num'], ['In flight', '', 'num'], ['Last trouble', trouble(one.health), '']]));
  }
  id('broker-rows').replaceChildren(...rows);
  set(id('brokers-count'), String(upstreams.brokers.length));
}

// ---------------------------------------------------------------- the tail

const KIND = { forwarded: 'ok', answered: 'ok', denied: 'bad', dropped: 'bad', closed: 'bad', refused: 'warn', failed: 'warn', abandoned: 'warn' };

function tailRow(record) {
  const ms = duration(record.total_us / 1000).join(' ');
  const why = record.filters.map((one) => one.filter + ' ' + one.verdict + (one.detail ? ' (' + one.detail + ')' : '')).concat(record.remark ? [record.remark] : []).join(' · ');
  const place = [record.topic, record.group].filter(Boolean).join(' · ');
  return el('li', {}, el('time', { datetime: record.time, text: clock(record.time) }), el('span', { class: 'tag ' + (KIND[record.outcome] || ''), text: record.outcome }),
    el('span', { class: 'what', text: (record.name || 'code ' + record.code) + (record.way === 'push' ? ' to the client' : '') }), el('span', { text: place }),
    el('span', { class: 'who', text: [record.client || record.peer, record.user, record.broker, ms].filter(Boolean).join(' · ') }), ...(why ? [el('span', { class: 'why', text: why })] : []));
}

function showTail() {
  if (state.paused || !state.waiting.length) return;
  const rows = id('tail-rows'), news = state.waiting.splice(0).reverse().map(tailRow);
  const placeholder = rows.querySelector('.none');
  if (placeholder) placeholder.remove();
  rows.prepend(...news);
  while (rows.childElementCount > TAIL_ROWS) rows.lastElementChild.remove();
}

function countTail() {
  const parts = [state.tailRows + ' seen'];
  if (state.missed) parts.push(state.missed + ' missed');
  if (state.paused) parts.push(state.waiting.length + ' waiting');
  set(id('tail-count'), parts.join(', '));
}

function heard(kind, data) {
  if (kind === 'command') {
    state.tailRows += 1;
    state.waiting.push(JSON.parse(data));
    // While paused, the newest are kept.
    if (state.waiting.length > TAIL_ROWS) state.waiting.shift();
  } else if (kind === 'missed') state.missed += JSON.parse(data).missed;
}

async function readTail(stop) {
  const query = new URLSearchParams();
  for (const name of ['outcome', 'topic', 'client']) { const value = id('tail-' + name).value.trim(); if (value) query.set(name, value); }
  const answer = await fetch('/api/v1/tail?' + query, { headers: headers(), signal: stop.signal, cache: 'no-store' });
  if (!answer.ok) throw new Refused(answer.status, await answer.json().catch(() => ({})));
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  for (;;) {
    let silent = 0;
    const quiet = new Promise((_, reject) => { silent = setTimeout(() => reject(new Error('the tail is silent')), 35000); });
    const { value, done } = await Promise.race([reader.read(), quiet]).finally(() => clearTimeout(silent));
    if (done) return;
    text += value;
    const blocks = text.split('\n\n');
    text = blocks.pop();
    if (text.length > 1 << 20) throw new Error('the tail makes no sense');
    for (const block of blocks) {
      let kind = '', data = '';
      for (const one of block.split('\n')) { if (one.startsWith('event:')) kind = one.slice(6).trim(); else if (one.startsWith('data:')) data += one.slice(5).trim(); }
      heard(kind, data);
    }
  }
}

async function follow() {
  if (state.tailing) state.tailing.abort();
  const stop = new AbortController();
  state.tailing = stop;
  let wait = 1000;
  while (!stop.signal.aborted) {
    const from = Date.now();
    try {
      await readTail(stop);
    } catch (error) {
      if (stop.signal.aborted) return;
      if (error instanceof Refused && error.status === 400) { say(error.message + '; accepted: ' + error.accepted); return; }
      if (error instanceof Refused && error.status === 401) askForToken();
    }
    if (Date.now() - from > 10000) wait = 1000;
    await new Promise((resolve) => setTimeout(resolve, wait));
    wait = Math.min(SLOWEST, wait * 2);
  }
}

// ---------------------------------------------------------------- the round

async function refresh() {
  if (state.busy) return;
  state.busy = true;
  clearTimeout(state.timer);
  try {
    const find = new URLSearchParams({ limit: CLIENTS, sort: 'rate' });
    if (state.find) find.set('q', state.find);
    const [overview, status, filters, page, upstreams] = await Promise.all([
      ask('/api/v1/overview'), ask('/api/v1/status'), ask('/api/v1/filters'), ask('/api/v1/sessions?' + find), ask('/api/v1/upstreams')]);
    const before = state.last;
    const point = measure(overview);
    drawTiles(point);
    drawChart('rate', [['requests', 'requests', 'a'], ['denied', 'denied', 'b'], ['failed', 'failed', 'c']], (value) => [short(value), '/s']);
    drawChart('latency', [['half', 'p50', 'a'], ['99 of 100', 'p99', 'd']], duration);
    drawBars('topics', point ? point.topics : []);
    drawBars('codes', point ? point.codes : []);
    drawStatus(status);
    drawFilters(filters, before ? (overview.time_ms - before.time_ms) / 1000 : 0);
    drawClients(page);
    drawBrokers(upstreams);
    drawHistory(status, filters);
    state.failures = 0;
    state.heard = Date.now();
  } catch (error) {
    state.failures += 1;
    if (error instanceof Refused && error.status === 401) askForToken();
    state.error = error.message;
  }
  state.busy = false;
  showFreshness();
  const usual = document.hidden ? HIDDEN_PERIOD : PERIOD;
  state.timer = setTimeout(refresh, state.failures ? Math.min(SLOWEST, PERIOD * 2 ** Math.min(4, state.failures - 1)) : usual);
}

function refreshSoon() {
  clearTimeout(state.timer);
  state.timer = setTimeout(refresh, 150);
}

function showFreshness() {
  const live = id('live'), stale = state.failures > 0;
  document.documentElement.classList.toggle('is-stale', stale);
  live.className = 'live ' + (stale ? 'off' : 'on');
  set(live, stale ? (state.heard ? 'stale since ' + new Date(state.heard).toLocaleTimeString([], { hour12: false }) : 'no answer') : 'live');
  if (stale) {
    id('banner').className = 'banner bad';
    set(id('banner-title'), state.heard ? 'No answer from Gimbal' : 'Nothing heard yet');
    set(id('banner-text'), 'What is shown is old (' + (state.error || 'no connection') + '). Trying again.');
  }
}

function theme(name) {
  document.documentElement.dataset.theme = name;
  set(id('theme'), name === 'dark' ? 'Light' : 'Dark');
}

function begin() {
  const system = matchMedia('(prefers-color-scheme: dark)');
  const chosen = () => localStorage.getItem('gimbal-theme');
  const bySystem = () => theme(chosen() || (system.matches ? 'dark' : 'light'));
  bySystem();
  system.addEventListener('change', bySystem);
  id('theme').addEventListener('click', () => { const next = document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark'; localStorage.setItem('gimbal-theme', next); theme(next); });
  id('find').addEventListener('input', () => { state.find = id('find').value.trim(); clearTimeout(begin.typing); begin.typing = setTimeout(refresh, 250); });
  id('tail-form').addEventListener('submit', (event) => { event.preventDefault(); clearTail(); follow(); });
  id('tail-outcome').addEventListener('change', () => { clearTail(); follow(); });
  id('pause').addEventListener('click', () => { state.paused = !state.paused; id('pause').setAttribute('aria-pressed', String(state.paused)); set(id('pause'), state.paused ? 'Go on' : 'Pause'); showTail(); countTail(); });
  id('token-form').addEventListener('submit', () => { sessionStorage.setItem('gimbal-token', id('token').value.trim()); id('token').value = ''; refreshSoon(); follow(); });
  document.addEventListener('visibilitychange', () => { if (!document.hidden) refreshSoon(); });
  setInterval(() => { showTail(); countTail(); }, 500);
  clearTail();
  drawTiles(null);
  refresh();
  follow();
}

function clearTail() {
  state.waiting = [];
  state.tailRows = 0;
  state.missed = 0;
  id('tail-rows').replaceChildren(el('li', { class: 'none', text: 'Nothing yet. Commands show up here as they end.' }));
}

begin();
