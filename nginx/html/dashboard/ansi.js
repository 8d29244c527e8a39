// What a terminal would show of a line: its text in pieces, each with the names of its colours. Pure, no document.
//
//     paint('\x1b[31mred\x1b[0m plain')   // [{text: 'red', names: 'f1'}, {text: ' plain', names: ''}]

// CSI (the parameters and the final byte are kept), strings such as titles and links, every other escape sequence
const sequences = /\x1b\[([0-?]*)[ -/]*([@-~]?)|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]?|[\x00-\x08\x0b-\x1f\x7f-\x9f]/g

// One of the sixteen for any colour: red, green and blue are bits, and a bright one adds eight.
function nearest(r, g, b) {
  const top = Math.max(r, g, b)
  const bit = value => value > top / 2 && value > 40 ? 1 : 0
  return bit(r) + 2 * bit(g) + 4 * bit(b) + (top > 200 ? 8 : 0)
}

function indexed(n) {
  if (n < 16) return n
  if (n > 231) return nearest(...Array(3).fill(8 + 10 * (n - 232)))
  const level = value => value ? 55 + 40 * value : 0
  n -= 16
  return nearest(level(Math.floor(n / 36)), level(Math.floor(n / 6) % 6), level(n % 6))
}

// The colour after a 38 or 48 at `i`, and how many parameters it took.
function extended(p, i) {
  if (p[i + 1] === 5) return [indexed(p[i + 2] & 255), 2]
  return p[i + 1] === 2 ? [nearest(p[i + 2] & 255, p[i + 3] & 255, p[i + 4] & 255), 4] : [null, 1]
}

// What the parameters of `ESC [ ... m` make of the state: f and b are colours, s1 bold, s3 italic, s4 underlined, s7 reversed.
function select(state, parameters) {
  const p = parameters.split(/[;:]/).map(Number)
  for (let i = 0; i < p.length; i++) {
    const n = p[i]
    if (n === 0) state = {}
    else if (n === 1 || n === 3 || n === 4 || n === 7) state[`s${n}`] = true
    else if (n === 22) delete state.s1
    else if (n === 23 || n === 24 || n === 27) delete state[`s${n - 20}`]
    else if (n === 38 || n === 48) {
      const [colour, taken] = extended(p, i)
      if (colour !== null) state[n === 38 ? 'f' : 'b'] = colour
      i += taken
    }
    else if (n === 39) delete state.f
    else if (n === 49) delete state.b
    else if (n >= 30 && n <= 37) state.f = n - 30
    else if (n >= 40 && n <= 47) state.b = n - 40
    else if (n >= 90 && n <= 97) state.f = n - 82
    else if (n >= 100 && n <= 107) state.b = n - 92
  }
  return state
}

// One line: whoever wrote the next one begins anew.
export function paint(line) {
  const pieces = []
  let state = {}
  let from = 0
  const names = () => Object.entries(state).map(([key, value]) => value === true ? key : key + value).join(' ')
  const add = to => to > from && pieces.push({ text: line.slice(from, to), names: names() })
  for (const match of line.matchAll(sequences)) {
    add(match.index)
    from = match.index + match[0].length
    if (match[2] === 'm') state = select(state, match[1])
  }
  add(line.length)
  return pieces
}
