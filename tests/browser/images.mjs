// The picture page: what the API has is what it shows, whatever happens to the network, the token and the page.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { after, afterEach, before, test } from 'node:test'
import { crc32, deflateSync } from 'node:zlib'
import { barriers, launch, newPage, tenLines, wire } from './page.mjs'
import { Server, until } from './server.mjs'

const site = new Server('IMAGES')
const closing = [] // what a test leaves open

let browser
before(async () => { browser = await launch() })
after(() => browser?.close())
afterEach(async () => {
  for (const each of closing.splice(0)) await each.close()
})

// A PNG of one colour: [red, green, blue, alpha].
function png(width, height, colour) {
  const chunk = (type, data) => {
    const body = Buffer.concat([Buffer.from(type), data])
    const frame = Buffer.alloc(8)
    frame.writeUInt32BE(data.length)
    frame.writeUInt32BE(crc(body), 4)
    return Buffer.concat([frame.subarray(0, 4), body, frame.subarray(4)])
  }
  const head = Buffer.alloc(13)
  head.writeUInt32BE(width)
  head.writeUInt32BE(height, 4)
  head.set([8, 6], 8)
  const line = Buffer.concat([Buffer.from([0]), ...Array(width).fill(Buffer.from(colour))])
  return Buffer.concat([Buffer.from('89504e470d0a1a0a', 'hex'), chunk('IHDR', head),
    chunk('IDAT', deflateSync(Buffer.concat(Array(height).fill(line)))), chunk('IEND', Buffer.alloc(0))])
}
function crc(bytes) {
  if (crc32) return crc32(bytes)
  let value = -1
  for (const byte of bytes) {
    value ^= byte
    for (let i = 0; i < 8; i++) value = (value >>> 1) ^ (value & 1 ? 0xedb88320 : 0)
  }
  return ~value >>> 0
}
const picture = (name, ...arguments_) => ({ name, mimeType: 'image/png', buffer: png(...arguments_) })

const token = (...more) => execFileSync(process.env.LEAT, ['--config', `${site.dir}/state/leat.conf`, 'token', 'add', '--owner', 'alice', ...more], { encoding: 'utf8' }).trim()

async function visit({ url = site.url, as = site.token } = {}) {
  const page = await newPage(browser, closing)
  await page.addInitScript(() => {
    window.heard = []
    window.EventSource = class extends EventSource {
      constructor(url) {
        super(url)
        // the page's own listener comes first: what is measured is when its rows have changed
        this.addEventListener('message', ({ data }) => setTimeout(() => {
          const message = JSON.parse(data)
          window.heard.push({ ...message, late: Date.now() - Date.parse(message.timestamp) })
        }))
      }
    }
  })
  await page.goto(url)
  await sign(page, as)
  return page
}
async function sign(page, as) {
  await page.getByLabel('Token').fill(as)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByText('Live', { exact: true }).waitFor()
}

// The page shows what the API has: of each upload its status and pictures.
async function same(page) {
  const { tasks } = await site.alice('GET', '/api/images?limit=20')
  const told = JSON.stringify(tasks.map(task => [task.id, task.status, (task.pictures ?? []).map(each => each.name)]))
  const shown = () => page.locator('article').evaluateAll(all => JSON.stringify(all.slice(0, 20).map(node => [node.dataset.id,
    node.querySelector('strong').textContent, [...node.querySelectorAll('figcaption')].map(each => each.textContent)])))
  await until(async () => await shown() === told, 30, `it shows ${told}`)
    .catch(async error => assert.equal(await shown(), told, error.message))
}
const ended = () => until(async () => (await site.alice('GET', '/api/tasks?status=pending')).tasks.length + (await site.alice('GET', '/api/tasks?status=running')).tasks.length === 0, 60)

// An upload by somebody else's page of the same user.
async function upload(name) {
  const form = new FormData()
  form.append('pictures', new Blob([png(2, 2, [0, 0, 255, 128])], { type: 'image/png' }), name)
  const answer = await fetch(`${site.url}/api/images`, { method: 'POST', body: form, headers: { Authorization: `Bearer ${site.token}` } })
  assert.equal(answer.status, 202)
  return (await answer.json()).task_id
}

test('pictures of one upload are put on white, what is none is refused, and all is there after a reload', async () => {
  const page = await visit()
  await page.getByLabel('Choose pictures').setInputFiles([picture('clear.png', 3, 2, [255, 0, 0, 0]), picture('half "<i>.png', 2, 2, [255, 0, 0, 128]),
    picture('red.png', 2, 2, [255, 0, 0, 255]), { name: 'no.png', mimeType: 'image/png', buffer: Buffer.from('<svg onload=alert(1)>') }])
  await page.getByText('no.png: This is no PNG, JPEG, GIF or WebP.').waitFor()
  const colours = () => page.locator('article').first().locator('img').evaluateAll(images => Promise.all(images.map(async image => {
    image.loading = 'eager'
    await image.decode()
    const canvas = document.createElement('canvas')
    const pen = canvas.getContext('2d')
    pen.drawImage(image, 0, 0)
    return [image.naturalWidth, image.naturalHeight, ...pen.getImageData(1, 1, 1, 1).data]
  })))
  const [clear, half, red] = await colours()
  assert.deepEqual([clear, red], [[3, 2, 255, 255, 255, 255], [2, 2, 255, 0, 0, 255]])
  assert.ok(half[2] === 255 && Math.abs(half[3] - 127) < 3, `${half}`)
  assert.deepEqual(await page.locator('figcaption').allTextContents(), ['clear.png', 'half "<i>.png', 'red.png'])
  await page.reload()
  await page.getByText('no.png: This is').waitFor()
  assert.deepEqual(await colours(), [clear, half, red])
  await same(page)
  assert.deepEqual(await barriers(page), [])
  assert.deepEqual(page.wrong, [])
})

test('an upload that waits is cancelled', async () => {
  const page = await visit()
  const { task_id: id } = await site.ask('POST', '/api/tasks', { type: 'images', input: 'x', delay: 1000 }, { Authorization: `Bearer ${site.token}` })
  const row = page.locator(`[data-id="${id}"]`)
  await row.getByRole('button', { name: 'Cancel' }).click()
  await row.getByText('failed').waitFor()
  assert.equal((await site.alice('GET', `/api/tasks/${id}`)).status, 'cancelled')
  await same(page)
})

test('uploads that end while the network is away are all there when it is back', async () => {
  const way = await wire(site.url)
  closing.push(way)
  const page = await visit({ url: way.url })
  await upload('before.png')
  await page.getByText('before.png').waitFor()
  way.cut()
  for (let i = 0; i < 5; i++) await upload(`away-${i}.png`)
  await ended()
  await page.getByText('Reconnecting…').waitFor()
  assert.equal(await page.getByText('away-').count(), 0)
  way.mend()
  await page.getByText('away-4.png').waitFor()
  await same(page)
  const ids = (await page.evaluate(() => window.heard)).map(message => message.id)
  assert.equal(new Set(ids).size, ids.length, 'no message came twice')
})

test('a server that is restarted, a runner that is killed and a reload in the middle lose nothing', async () => {
  const page = await visit()
  const gate = `${site.dir}/gate`
  const { task_id: id } = await site.alice('POST', '/api/tasks', { type: 'gated', input: `${gate}\n` })
  const row = page.locator(`[data-id="${id}"]`)
  await row.getByText('processing').waitFor()
  await site.restart()
  await upload('restarted.png')
  await page.getByText('restarted.png').waitFor()
  await site.killRunner()
  await until(async () => (await site.alice('GET', `/api/tasks/${id}`)).attempt === 2, 60, 'another runner has taken it')
  writeFileSync(gate, '')
  await row.getByText('completed').waitFor()
  const ids = (await page.evaluate(() => window.heard)).map(message => message.id)
  assert.equal(new Set(ids).size, ids.length, 'no message came twice')
  await site.alice('DELETE', `/api/tasks/${id}`) // it was no upload
  await Promise.all([upload('reloaded.png'), page.reload()])
  await page.getByText('reloaded.png').waitFor()
  await same(page)
})

test('with the page open and nothing happening there is a request a rotation, and nothing else', async () => {
  const page = await visit()
  const before = page.asked.length
  await until(() => page.asked.length > before, 60, 'its stream ends, and is opened again')
  assert.deepEqual(page.asked.slice(before), ['GET /api/notifications'])
})

test('a token that ends during the stream is asked for again, and nothing is missed', async () => {
  const page = await visit({ as: token('--expires', '3s') })
  await page.getByLabel('Token').waitFor()
  await upload('nobody-looked.png')
  await ended()
  await sign(page, site.token)
  await page.getByText('nobody-looked.png').waitFor()
  await same(page)
})

test('the ten lines that replace a poll loop do', async () => {
  const page = await visit()
  await page.evaluate(`{
    document.cookie = 'token=${site.token}; path=/api; SameSite=Strict'
    window.told = []
    const reload = () => window.told.push('reload')
    const show = (id, data) => window.told.push([id, data.status])
    ${tenLines('images')}
    source.onopen = () => { window.opened = true }
  }`)
  await page.waitForFunction(() => window.opened)
  const { task_id: id } = await site.alice('POST', '/api/tasks', { type: 'quick' })
  const told = () => page.evaluate(id => window.told.filter(each => each[0] === id).map(each => each[1]), id)
  await until(async () => (await told()).at(-1) === 'completed', 30)
  assert.deepEqual(await told(), ['pending', 'processing', 'completed'])
  assert.equal(await page.evaluate(() => window.told.includes('reload')), false)
})

test('a thousand messages: none is lost, none is doubled, and they are there at once', async t => {
  const page = await visit()
  // a page that is open is what is measured: by its second stream the browser is done with the window that it opens for each
  // context, and the end of a stream, which comes every four seconds here, is not near
  await until(() => page.asked.filter(each => each === 'GET /api/notifications').length > 1, 60, 'its stream ends, and is opened again')
  await page.getByText('Live', { exact: true }).waitFor()
  const count = 334
  const answer = await fetch(`${site.url}/api/tasks`, {
    method: 'POST', headers: { Authorization: `Bearer ${site.token}`, 'Content-Type': 'application/x-ndjson' },
    body: Array(count).fill('{"type":"quick"}').join('\n')
  })
  const ids = (await answer.json()).tasks.map(task => task.task_id)
  await until(() => page.evaluate(ids => ids.every(id => document.querySelector(`article.completed[data-id="${id}"]`)), ids), 120, 'all have ended')
  await ended()
  const heard = (await page.evaluate(() => window.heard)).filter(message => ids.includes(message.task_id))
  assert.equal(heard.length, 3 * count)
  assert.equal(new Set(heard.map(message => message.id)).size, 3 * count, 'nothing twice')
  const told = new Map(ids.map(id => [id, []]))
  for (const message of heard) told.get(message.task_id).push(message.data.status)
  for (const each of told.values()) assert.deepEqual(each, ['pending', 'processing', 'completed'])
  const late = heard.map(message => message.late).sort((a, b) => a - b)
  t.diagnostic(`change to page: median ${late[late.length >> 1]} ms, 99 of 100 within ${late[Math.floor(late.length * 0.99)]} ms`)
  assert.ok(late[late.length >> 1] < 2000)
})

test('a page that is left open shows the newest 500, and more when somebody asks', async () => {
  const page = await visit()
  const add = async () => {
    const { task_id: id } = await site.alice('POST', '/api/tasks', { type: 'images', input: 'x', delay: 1000 })
    for (const now = Date.now(); Date.now() === now;); // ids of one millisecond have no order
    return id
  }
  const ids = []
  const shows = newest => until(async () => JSON.stringify(newest) === await page.locator('article').evaluateAll(all =>
    JSON.stringify(all.map(node => node.dataset.id))), 60, `it shows these ${newest.length}`)
  while (ids.length < 530) ids.unshift(await add())
  await shows(ids.slice(0, 500))
  await page.getByRole('button', { name: 'Show more' }).click()
  await shows(ids.slice(0, 520))
  await site.alice('POST', `/api/tasks/${ids[525]}/cancel`) // of one that is not shown
  ids.unshift(await add())
  await shows(ids.slice(0, 520))
})
