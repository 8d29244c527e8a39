// Elements without markup, and words for numbers. Whatever a task says becomes a text node or an attribute's value here,
// never HTML; the page's policy (require-trusted-types-for) holds every module to that.

// h('td.wide', {title, click: f}, child, ...): functions are listeners, null and false are left out.
export function h(name, props, ...children) {
  const [tag, ...classes] = name.split('.')
  const node = document.createElement(tag)
  if (classes.length) node.className = classes.join(' ')
  for (const [key, value] of Object.entries(props ?? {})) {
    if (typeof value === 'function') node.addEventListener(key, value)
    else if (value != null && value !== false) node.setAttribute(key, value === true ? '' : value)
  }
  put(node, ...children)
  return node
}

// What has the focus keeps it, or what stands in its place does, and where nothing does for now the place itself: who goes
// by keyboard does not begin anew.
export function put(node, ...children) {
  const held = node.contains(document.activeElement) && document.activeElement
  const index = held ? focusable(node).indexOf(held) : -1
  node.replaceChildren(...children.flat(9).filter(child => child != null && child !== false))
  if (held && (held === node || held !== document.activeElement)) {
    const there = focusable(node)
    const next = there.find(each => held !== node && called(each) === called(held)) ?? there[Math.max(index, 0)] ?? there.at(-1) ?? node
    if (next === node) node.tabIndex = -1
    next.focus({ preventScroll: true })
  }
  return node
}
const focusable = node => [...node.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex]')]
const called = node => node.getAttribute('aria-label') ?? node.textContent

// Touches the document only where the text differs: a screen reader and a selection are left alone.
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text
}

export function svg(tag, attributes, ...children) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', tag)
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value)
  node.append(...children)
  return node
}

// A button that is at work keeps the focus, and does nothing more.
export const button = (label, click, { primary, ...props } = {}) => h(primary ? 'button.primary' : 'button', { type: 'button', click(event) {
  if (!event.currentTarget.ariaDisabled) click(event)
}, ...props }, label)
export const busy = (node, is = true) => { node.ariaDisabled = is ? 'true' : null }

// The function that calls f once before the next frame, however often it is called.
export function framed(f) {
  let asked = false
  return () => {
    if (asked) return
    asked = true
    requestAnimationFrame(() => {
      asked = false
      f()
    })
  }
}

const clock = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' })
export const at = ms => clock.format(ms)

export function span(seconds) {
  const s = Math.max(0, seconds)
  if (s < 1) return `${Math.round(s * 1000)} ms`
  if (s < 10) return `${s.toFixed(1)} s`
  if (s < 60) return `${Math.round(s)} s`
  const [large, small, unit] = s < 3600 ? [60, 1, ['min', 's']] : s < 86400 ? [3600, 60, ['h', 'min']] : [86400, 3600, ['d', 'h']]
  const rest = Math.floor(s % large / small)
  return `${Math.floor(s / large)} ${unit[0]}${rest ? ` ${rest} ${unit[1]}` : ''}`
}

export function ago(ms, now = Date.now()) {
  const s = (now - ms) / 1000
  if (s < -1) return `in ${span(-s)}`
  if (s < 5) return 'just now'
  if (s < 60) return `${Math.floor(s)} s ago`
  if (s < 3600) return `${Math.floor(s / 60)} min ago`
  if (s < 86400) return `${Math.floor(s / 3600)} h ago`
  return `${Math.floor(s / 86400)} d ago`
}

export function bytes(n) {
  const units = ['bytes', 'KB', 'MB', 'GB', 'TB']
  let i = 0
  for (; n >= 1000 && i < 4; i++) n /= 1000
  return `${i && n < 100 ? n.toFixed(1) : Math.round(n)}\u00a0${units[i]}`
}

// A table with a name for who does not see it; a column without a title is for buttons.
export const table = (kind, name, columns, body, props) => h(`table.${kind}`, props, h('caption.hidden', null, name),
  columns && h('thead', null, h('tr', null, columns.map(title => h('th', { scope: 'col' }, title || h('span.hidden', null, 'Actions'))))), body)
export const time = ms => h('time', { datetime: new Date(ms).toISOString(), title: at(ms) }, ago(ms))
export const status = word => h(`span.status.${word}`, null, word)
export const bar = (value, label) => h('progress', { max: 100, value, 'aria-label': label })
// What stands where a list would be, and what one may do about it.
export function instead(node, words, ...actions) {
  if (node.dataset.words === words) return
  node.dataset.words = words
  put(node, words, actions)
}
// What could not be loaded, and why.
export const failed = (node, words, load) => instead(node, words, button('Try again', () => {
  instead(node, 'Loading…')
  load()
}))
export const text = value => typeof value === 'string' ? value : JSON.stringify(value, null, 2)

const TOASTS = 4 // at once: the oldest goes

// A notice at the foot of the page, until it has been read; errors stay longer, and none goes while it is pointed at.
export function toast(message, kind = 'note') {
  const place = document.getElementById('toasts')
  let timer
  const stop = () => clearTimeout(timer)
  function start() {
    stop()
    timer = setTimeout(close, kind === 'error' ? 12000 : 5000)
  }
  function close() {
    stop()
    if (node.contains(document.activeElement)) document.querySelector('h1')?.focus()
    node.remove()
  }
  const node = h(`p.${kind}`, { mouseenter: stop, mouseleave: start, focusin: stop, focusout: start },
    h('span.grow', null, message), button('×', close, { 'aria-label': 'Dismiss' }))
  for (const each of [...place.children]) if (each.firstChild.textContent === message) each.remove()
  while (place.childElementCount >= TOASTS) place.firstChild.remove()
  place.append(node)
  start()
}

// Asks before something is done to many tasks, or cannot be undone: true or false. Escape says no.
export function confirm(question, detail, verb, kind = 'danger') {
  return new Promise(resolve => {
    const dialog = h('dialog', { 'aria-labelledby': 'question', 'aria-describedby': 'detail', close: () => (dialog.remove(), resolve(dialog.returnValue === 'yes')) },
      h('h2.foreign', { id: 'question' }, question), h('p', { id: 'detail' }, detail),
      h('form.row', { method: 'dialog' }, h('button', { value: 'no' }, 'Go back'), h(`button.${kind}`, { value: 'yes' }, verb)))
    document.body.append(dialog)
    dialog.showModal()
  })
}
