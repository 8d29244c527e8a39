// What leat.js makes of the bytes of a stream, case by case as WHATWG HTML 9.2.5 and 9.2.6 say.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EventStreamParser } from '../../nginx/html/leat.js'

const bytes = text => typeof text === 'string' ? new TextEncoder().encode(text) : text

// What comes of a stream in these chunks: messages as [type, data, id], reconnection times, ids of blocks without data.
function parse(chunks) {
  const seen = { messages: [], retries: [], ids: [] }
  const parser = new EventStreamParser({
    message: m => seen.messages.push([m.type, m.data, m.lastEventId]), retry: ms => seen.retries.push(ms), id: id => seen.ids.push(id)
  })
  for (const chunk of chunks) parser.push(bytes(chunk))
  return { ...seen, last: parser.lastEventId }
}

// [name, stream, messages, more]: data alone stands for ['message', data, ''].
const cases = [
  ['a message', 'data: a\n\n', ['a']],
  ['one blank after the colon is no part of the value, a second one is', 'data:a\n\ndata: b\n\ndata:  c\n\ndata:\td\n\n', ['a', 'b', ' c', '\td']],
  ['lines of data are joined', 'data: a\ndata: b\ndata\ndata:\ndata: c\n\n', ['a\nb\n\n\nc']],
  ['a field without a colon has an empty value', 'data\n\n', ['']],
  ['data that is empty is a message', 'data:\n\ndata: \n\n', ['', '']],
  ['two empty lines of data are one line break', 'data\ndata\n\n', ['\n']],
  ['a block without data is none', '\n\n\nevent: a\n\nid: 1\n\n: \n\n', [], { ids: ['', '', '', '', '1', '1'], last: '1' }],
  ['what has no end is nothing', 'data: a\n\ndata: b\n', ['a']],
  ['a comment is nothing, wherever', ':\n:a\ndata: a\n: b\n:data: c\ndata: d\n\n::\n', ['a\nd']],
  ['lines end in LF, CR or CRLF, mixed', 'data: a\r\rdata: b\r\n\r\ndata: c\n\ndata: d\r\n\ndata: e\n\r\ndata: f\r\n\rdata: g\n\r', ['a', 'b', 'c', 'd', 'e', 'f', 'g']],
  ['LF CR is two ends', 'data: a\n\rdata: b\n\r', ['a', 'b']],
  ['other separators of Unicode end no line', 'data: a\u2028b\u0085c\u000bd\u000ce\n\n', ['a\u2028b\u0085c\u000bd\u000ce']],
  ['a BOM at the beginning is dropped', '\ufeffdata: a\n\n', ['a']],
  ['only one, and only there', '\ufeff\ufeffdata: a\n\n\ufeffdata: b\n\ndata: \ufeffc\n\n', ['\ufeffc']],
  ['a BOM before a comment', '\ufeff: a\ndata: a\n\n', ['a']],
  ['the type is for one message', 'event: x\ndata: a\n\ndata: b\n\n', [['x', 'a', ''], 'b']],
  ['the last type counts, an empty one is none', 'event: x\nevent: y\ndata: a\n\nevent: x\nevent\ndata: b\n\nevent:x\nevent:\ndata:c\n\n', [['y', 'a', ''], 'b', 'c']],
  ['the type of a block without data is forgotten', 'event: x\n\ndata: a\n\n', ['a'], { ids: [''] }],
  ['an id stays', 'id: 1\ndata: a\n\ndata: b\n\nid: 2\ndata: c\n\n', [['message', 'a', '1'], ['message', 'b', '1'], ['message', 'c', '2']], { last: '2' }],
  ['an empty id resets it', 'id: 1\ndata: a\n\nid\ndata: b\n\nid: 1\ndata: c\n\nid:\ndata: d\n\n', [['message', 'a', '1'], 'b', ['message', 'c', '1'], 'd']],
  ['an id counts when its block ends', 'data: a\nid: 1\n', [], { last: '' }],
  ['an id with NUL is ignored', 'id: 1\ndata: a\n\nid: 2\0\ndata: b\n\nid: \0\ndata: c\n\n', [['message', 'a', '1'], ['message', 'b', '1'], ['message', 'c', '1']], { last: '1' }],
  ['NUL anywhere else is text', 'data: a\0b\n\nevent: \0\ndata: c\n\nda\0ta: d\n\n', ['a\0b', ['\0', 'c', '']], { ids: [''] }],
  ['digits are a reconnection time', 'retry: 10\nretry:20\nretry: 0030\n', [], { retries: [10, 20, 30] }],
  ['anything else is not', 'retry: 1000x\nretry: -1\nretry: 1.5\nretry: +2\nretry:  3\nretry: 4 \nretry\nretry:\nretry: 0x1\nretry: ٣\nretry: 1e3\n', [], { retries: [] }],
  ['names of fields are exact', 'Data: a\nDATA: b\n data: c\ndata : d\ndatas: e\nx: f\n\ndata: g\n\n', ['g'], { ids: [''] }],
  ['a colon in a value is text', 'data: a: b\ndata::c\n\n', ['a: b\n:c']],
  ['bytes that are no UTF-8 are replaced', Uint8Array.of(100, 97, 116, 97, 58, 0xff, 0xc3, 10, 10), ['\ufffd\ufffd']],
  ['characters of two, three and four bytes', 'data: ä€😀\nid: ä€😀\n\n', [['message', 'ä€😀', 'ä€😀']], { last: 'ä€😀' }]
]

for (const [name, stream, messages, more] of cases) {
  const whole = bytes(stream)
  const expected = messages.map(m => typeof m === 'string' ? ['message', m, ''] : m)
  const check = (chunks, how) => {
    const seen = parse(chunks)
    assert.deepEqual(seen.messages, expected, how)
    for (const [key, value] of Object.entries(more ?? {})) assert.deepEqual(seen[key], value, `${how}: ${key}`)
  }
  test(name, () => {
    check([whole], 'in one chunk')
    check([...whole].map(b => Uint8Array.of(b)), 'a byte at a time')
    for (let at = 0; at <= whole.length; at++) check([whole.slice(0, at), whole.slice(at)], `cut at byte ${at}`)
    for (let at = 0; at <= whole.length; at++) check([whole.slice(0, at), new Uint8Array(), whole.slice(at, at + 1), whole.slice(at + 1)], `cut around byte ${at}`)
  })
}

test('a message is told with its last byte', () => {
  for (const end of ['\n\n', '\r\r', '\r\n\r\n', '\n\r', '\r\n\r']) {
    const seen = []
    const parser = new EventStreamParser({ message: m => seen.push(m.data) })
    const whole = bytes(`data: a${end}`)
    const last = end === '\r\n\r\n' ? whole.length - 2 : whole.length - 1 // the CR ends the line
    for (let i = 0; i < whole.length; i++) {
      parser.push(whole.slice(i, i + 1))
      assert.equal(seen.length, i >= last ? 1 : 0, `${JSON.stringify(end)}, byte ${i}`)
    }
  }
})

test('a line without an end is given up', () => {
  const parser = new EventStreamParser({ message() {} })
  const much = bytes('x'.repeat(1 << 20))
  parser.push(bytes('data: '))
  assert.throws(() => { for (let i = 0; i < 64; i++) parser.push(much) }, { code: 'line_too_long' })
})

test('a hundred thousand lines take no long time', () => {
  let count = 0
  const parser = new EventStreamParser({ message: () => count++ })
  parser.push(bytes('id: 1\ndata: {"a":1}\n\n'.repeat(100_000)))
  assert.equal(count, 100_000)
})
