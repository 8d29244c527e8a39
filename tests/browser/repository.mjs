// The repository page: what it shows is what the API says, told by one stream.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { after, afterEach, before, test } from 'node:test'
import { barriers, launch, newPage, tenLines, wire } from './page.mjs'
import { Server, until } from './server.mjs'

const site = new Server('REPOSITORY')
const GATE = `${site.dir}/gate` // while it is there, no job gets further than its beginning
const closing = [] // what a test leaves open

let browser
before(async () => {
  writeFileSync(`${process.env.REPOSITORY_JOBS}/repository.env`,
    `ALLOW='file://${site.dir}/*'\nwhile [ -e '${GATE}' ]; do sleep 0.05; done\n`)
  browser = await launch()
})
after(() => browser?.close())
afterEach(async () => {
  rmSync(GATE, { force: true })
  for (const each of closing.splice(0)) await each.close()
})

// A repository with a commit, or with one more: its URL.
function commit(name, text) {
  const dir = `${site.dir}/${name}`
  const git = (...what) => execFileSync('git', ['-C', dir, '-c', 'user.name=Some Body', '-c', 'user.email=a@example.com', ...what], { stdio: 'pipe', encoding: 'utf8' })
  mkdirSync(dir, { recursive: true })
  git('init', '-q')
  writeFileSync(`${dir}/main.c`, text)
  git('add', '-A')
  git('commit', '-q', '-m', text)
  return { url: `file://${dir}`, head: git('rev-parse', 'HEAD').trim() }
}

async function visit({ url = site.url, id } = {}) {
  const page = await newPage(browser, closing)
  await page.addInitScript(() => {
    window.statuses = []
    addEventListener('DOMContentLoaded', () => new MutationObserver(() => window.statuses.push(document.getElementById('status').textContent))
      .observe(document.getElementById('status'), { childList: true, characterData: true, subtree: true }))
  })
  await page.goto(`${url}/${id ? `#${id}` : ''}`)
  return page
}

async function clone(page, name, url) {
  await page.getByLabel('Name').fill(name)
  await page.getByLabel('URL').fill(url)
  await page.getByRole('button', { name: 'Clone' }).click()
}
const shows = (page, word) => page.locator(`#status.${word}`).waitFor()
const known = id => site.ask('GET', `/api/repositories/${id}`)
const tasks = async id => (await site.ask('GET', `/api/repositories/${id}/tasks`)).tasks
const documents = page => page.locator('#docs button')
const lines = page => page.locator('#log div').allTextContents()

// The page says of it what the API says: its status, its documents, and each line of the log once.
async function same(page, id) {
  const { status } = await known(id)
  await shows(page, status)
  const logged = (await Promise.all((await tasks(id)).map(async task => {
    const { events } = await site.ask('GET', `/api/tasks/${task.id}/events?limit=1000`, undefined, { Accept: 'application/json' })
    return events.filter(event => event.type === 'log.append').map(event => event.payload.message)
  }))).flat().sort()
  await until(async () => JSON.stringify((await lines(page)).sort()) === JSON.stringify(logged), 30, 'the log is whole')
    .catch(async error => assert.deepEqual((await lines(page)).sort(), logged, error.message))
  const made = new Set((await tasks(id)).flatMap(task => task.files.map(file => file.name)))
  assert.equal(await documents(page).count(), made.size)
}

test('a repository is cloned and analysed by two buttons, told by one stream and no question', async () => {
  const { url, head } = commit('first', 'int x; // TODO: <script>window.hacked=1</script>\n')
  const page = await visit()
  writeFileSync(GATE, '') // or it is cloned before the page looks
  await clone(page, 'first', url)
  await shows(page, 'cloning')
  rmSync(GATE)
  await shows(page, 'ready')
  assert.deepEqual((await known('first')).context, { url, head, commits: 1 })
  const before = page.asked.length
  await page.getByRole('button', { name: 'Analyse' }).click()
  await shows(page, 'completed')
  await until(async () => await documents(page).count() === 3)
  const streams = line => line === 'GET /api/repositories/first/events'
  assert.deepEqual(page.asked.slice(before).filter(line => !streams(line)), ['POST /api/repositories/analyze'])
  assert.deepEqual(await page.evaluate(() => window.statuses.filter((word, i, all) => word !== all[i - 1])), ['cloning', 'ready', 'analyzing', 'completed'], 'by itself')
  await documents(page).filter({ hasText: 'Still to be done' }).click()
  await page.locator('#doc', { hasText: 'main.c:1:int x; // TODO: <script>' }).waitFor()
  await documents(page).filter({ hasText: 'History' }).click()
  await page.locator('#doc', { hasText: 'Some Body  int x; // TODO: <script>' }).waitFor()
  await same(page, 'first')
  await page.reload()
  await same(page, 'first')
  const quiet = page.asked.length
  await until(() => page.asked.length > quiet, 60, 'its stream ends, and is opened again')
  assert.ok(page.asked.slice(quiet).every(streams), 'nothing else is asked')
  assert.deepEqual(await barriers(page), [])
  assert.equal(await page.evaluate(() => window.hacked), undefined)
  assert.deepEqual(page.wrong, [])
})

test('what fails is said in its words, and a reset runs it again', async () => {
  const page = await visit()
  await clone(page, 'forbidden', 'https://localhost/x.git')
  await shows(page, 'error')
  await page.getByText('This URL may not be cloned here: https://localhost/x.git').first().waitFor()
  await clone(page, 'later', `file://${site.dir}/later`)
  await page.getByRole('heading', { name: 'later' }).waitFor()
  await shows(page, 'error')
  assert.match(await page.locator('#error').textContent(), /git could not clone/)
  const { head } = commit('later', 'int y;\n')
  await page.getByRole('button', { name: 'Reset', exact: true }).click()
  await shows(page, 'ready')
  assert.equal(await page.locator('#error').textContent(), '')
  assert.equal((await known('later')).context.head, head)
  await same(page, 'later')
})

test('a forced reset stops what runs and clones anew', async () => {
  const { url } = commit('forced', 'int a;\n')
  const page = await visit()
  await clone(page, 'forced', url)
  await shows(page, 'ready')
  writeFileSync(GATE, '')
  const { head } = commit('forced', 'int b;\n')
  await page.getByRole('button', { name: 'Force reset' }).click()
  await shows(page, 'cloning')
  await until(async () => (await tasks('forced'))[0].status === 'running')
  const [{ attempt }] = await tasks('forced')
  await page.getByRole('button', { name: 'Force reset' }).click()
  await until(async () => (await tasks('forced'))[0].attempt > attempt)
  rmSync(GATE)
  await shows(page, 'ready')
  assert.equal((await known('forced')).context.head, head)
  assert.equal((await tasks('forced')).length, 1)
})

test('a network that is cut, a server that is restarted and a reload lose nothing', async () => {
  const { url } = commit('cut', 'int z;\n')
  const way = await wire(site.url)
  closing.push(way)
  const page = await visit({ url: way.url })
  await clone(page, 'cut', url)
  await shows(page, 'ready')
  writeFileSync(GATE, '')
  await page.getByRole('button', { name: 'Analyse' }).click()
  await shows(page, 'analyzing')
  way.cut()
  rmSync(GATE)
  await until(async () => (await known('cut')).status === 'completed', 60)
  assert.equal(await page.locator('#status').textContent(), 'analyzing')
  way.mend()
  await same(page, 'cut')
  writeFileSync(GATE, '')
  await page.getByRole('button', { name: 'Analyse' }).click()
  await shows(page, 'analyzing')
  await site.restart()
  await page.reload()
  await shows(page, 'analyzing')
  rmSync(GATE)
  await shows(page, 'completed')
  await same(page, 'cut')
})

test('what is kept for a year is there when all else is gone', async () => {
  const { task_id: id } = await site.ask('POST', '/api/tasks', { type: 'passing' })
  await until(async () => (await fetch(`${site.url}/api/tasks/${id}`)).status === 404, 60, 'another task goes')
  const page = await visit({ id: 'first' })
  await until(async () => await documents(page).count() === 3)
  await same(page, 'first')
  await documents(page).filter({ hasText: 'Languages' }).click()
  await page.locator('#doc', { hasText: '1 files  c' }).waitFor()
})

test('the ten lines that replace a poll loop do', async () => {
  const { url } = commit('ten', 'int main(void) { return 10; } // TODO ten')
  const page = await visit()
  await page.evaluate(`{
    const id = 'ten lines'
    window.told = { statuses: [], docs: [], lines: [] }
    const show = (status, error) => window.told.statuses.push(error ? [status, error] : status)
    const list = (task, { name }) => window.told.docs.push(name)
    const append = line => window.told.lines.push(line)
    ${tenLines('repository')}
  }`)
  const told = () => page.evaluate(() => window.told)
  await until(async () => (await told()).statuses.length === 1, 30, 'it is connected')
  await fetch(`${site.url}/api/repositories/ten%20lines/clone`, { method: 'POST', headers: { 'Content-Type': 'text/plain' }, body: url })
  await until(async () => { const { statuses } = await told(); return statuses.includes('cloning') && statuses.at(-1) === 'ready' }, 30, 'it is cloned')
  await site.ask('POST', '/api/repositories/analyze', { type: 'todos', group: 'ten lines', input: null })
  await until(async () => (await told()).statuses.at(-1) === 'completed', 30, 'it is analysed')
  const { statuses, docs, lines } = await told()
  assert.deepEqual(statuses.filter((word, i) => word !== statuses[i - 1]), ['ready', 'cloning', 'ready', 'analyzing', 'completed'])
  assert.ok(docs.length && lines.length, `${docs}; ${lines}`)
})
