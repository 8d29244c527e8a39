// Small charts of what stats.js has gathered.
import { h, say, span, svg, framed } from './dom.js'
import { stats } from './stats.js'
import { session } from './api.js'

const LONGEST = 600000 // that is shown, ms
const SHORTEST = 60000
const WIDTH = 300
const HEIGHT = 60

const whole = value => value == null ? '–' : Math.round(value).toLocaleString()
const seconds = value => value == null ? '–' : span(value)

// What is shown, first of all at the top of the list of tasks.
export const figures = [
  { name: 'Running', key: 'running', words: whole },
  { name: 'Queued', key: 'pending', words: whole },
  { name: 'Finished per minute', key: 'rate', words: whole },
  { name: 'Wait to start (median)', key: 'wait50', words: seconds }
]
export const slow = { name: 'Wait, slowest 1 %', key: 'wait99', words: seconds }

// A line over the time since the page was opened, or the last of it; level where nothing was measured.
function draw(key, now, length) {
  const from = now - length
  const points = stats.samples.filter(sample => sample[key] != null && sample.t > from).map(sample => [sample.t, sample[key]])
  if (points.length) points.push([now, points.at(-1)[1]])
  const most = Math.max(...points.map(([, value]) => value), 0)
  const top = most || 1
  const place = ([t, value]) => `${((t - from) / length * WIDTH).toFixed(1)},${(HEIGHT - 2 - value / top * (HEIGHT - 6)).toFixed(1)}`
  const line = points.map(place).join(' ')
  const first = points.length ? ((points[0][0] - from) / length * WIDTH).toFixed(1) : 0
  return { most, shapes: line ? [svg('polygon', { points: `${first},${HEIGHT} ${line} ${WIDTH},${HEIGHT}` }), svg('polyline', { points: line })] : [] }
}

function card({ name, key, words }) {
  const value = h('strong', null, '–')
  const range = h('small')
  const picture = svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img' })
  return {
    node: h('div.card.figure', null, h('h2', null, name), value, picture, range),
    update() {
      const length = Math.min(LONGEST, Math.max(SHORTEST, Date.now() - stats.samples[0]?.t))
      const { most, shapes } = draw(key, Date.now(), length || SHORTEST)
      const now = stats.samples.findLast(sample => sample[key] != null)?.[key]
      say(value, words(now))
      say(range, now == null ? 'nothing yet' : `most ${words(shapes.length ? most : now)} in ${Math.round(length / 60000)} min`)
      picture.setAttribute('aria-label', `${name}: now ${words(now)}, ${range.textContent}`)
      picture.replaceChildren(...shapes)
    }
  }
}

// The charts, for as long as the view stands; nothing for those who may not see statistics.
export function charts(list, signal) {
  if (!session.admin) return null
  const cards = list.map(card)
  const update = framed(() => cards.forEach(each => each.update()))
  stats.addEventListener('sample', update, { signal })
  const timer = setInterval(update, 5000)
  signal.addEventListener('abort', () => clearInterval(timer))
  update()
  return h('section.figures', { 'aria-label': 'Figures' }, cards.map(each => each.node))
}
