// The dashboard as somebody uses it: what it shows is what the API says, also after the network was away.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { after, afterEach, before, test } from 'node:test'
import { barriers, launch, wire } from './page.mjs'
import { Server, until } from './server.mjs'

// Those that see only the page are run behind nginx alone.
const onNginx = process.env.WEB === 'nginx' ? test : () => {}
const open = new Server('OPEN')
const closed = new Server('CLOSED')
const MARKUP = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'

let browser
const closing = [] // what a test leaves open
before(async () => { browser = await launch() })
after(() => browser?.close())
afterEach(async () => {
  for (const each of closing.splice(0)) await each.close()
})

// A page of the dashboard with nothing of an earlier one. What goes wrong in it is in `wrong`, what it asks for in `asked`.
// `route` is one that answers instead of the server, as [path, f].
async function visit(view = '#/tasks', { url = open.url, route, ...options } = {}) {
  const context = await browser.newContext(options)
  closing.push(context)
  const page = await context.newPage()
  page.setDefaultTimeout(30000)
  page.wrong = []
  page.asked = []
  page.on('pageerror', error => page.wrong.push(`${error}`))
  page.on('console', message => {
    if (message.type() === 'error' && !/Failed to load resource/.test(message.text())) page.wrong.push(message.text())
  })
  page.on('request', request => page.asked.push(request.url()))
  if (route) await page.route(...route)
  await page.goto(`${url}/${view}`)
  return page
}

const row = (page, id) => page.locator(`tr[data-id="${id}"]`)
const state = (page, id, word) => row(page, id).locator('.status', { hasText: word })
const text = locator => locator.evaluate(node => node.textContent)
const submit = (server, body, headers) => server.ask('POST', '/api/tasks', body, headers).then(answer => answer.task_id)
const read = (server, id) => server.ask('GET', `/api/tasks/${id}`)
const reaches = (id, status) => until(async () => (await read(open, id)).status === status, 30, `${id} is ${status}`)

// The command line beside a server.
const leat = (server, ...words) => execFileSync(process.env.LEAT, ['--config', `${server.dir}/state/leat.conf`, ...words]).toString().trim()
// A token of somebody who has nothing yet: {token, revoke()}.
function newcomer(server) {
  const name = `newcomer-${Math.random()}`
  const token = leat(server, 'token', 'add', '--owner', name, '--name', name, '--scope', 'create,read')
  return { token, revoke: () => leat(server, 'token', 'revoke', name) }
}
async function signIn(page, token) {
  await page.getByRole('dialog').getByLabel('Token').fill(token)
  await page.getByRole('dialog').getByRole('button', { name: 'Sign in' }).click()
}
const focused = page => page.evaluate(() => {
  const { activeElement: node } = document
  return node.getAttribute('aria-label') || node.name || node.textContent
})
const nowhere = route => route.abort()

// A task of `walk`: {id, step(n)} lets it come as far as n of 10.
async function walk(more = {}) {
  const dir = mkdtempSync(`${open.dir}/walk-`)
  let at = 0
  return {
    id: await submit(open, { type: 'walk', input: dir, ...more }),
    step(n) {
      while (at < n) writeFileSync(`${dir}/${++at}`, '')
    }
  }
}

// Each row that is shown says what the API says of its task.
async function same(page, expected) {
  const shown = () => page.locator('tr[data-id]').evaluateAll(rows => rows.map(row => [row.dataset.id,
    row.querySelector('.status').textContent, row.querySelector('progress').value]))
  const { tasks } = await open.ask('GET', `/api/tasks?page_size=50${expected}`)
  const told = JSON.stringify(tasks.map(task => [task.id, task.status, task.progress]))
  await until(async () => JSON.stringify(await shown()) === told, 30, `the page shows ${told}`).catch(async error => {
    throw new Error(`${error.message}\nbut it shows ${JSON.stringify(await shown())}`)
  })
}

test('tasks appear, move and end by themselves, and the list is what the API says', async () => {
  const page = await visit('#/tasks?type=walk')
  await page.getByText('Live', { exact: true }).waitFor()
  const task = await walk({ group: 'a batch' })
  await row(page, task.id).waitFor()
  task.step(3)
  await until(async () => await row(page, task.id).locator('progress').evaluate(bar => bar.value) === 30)
  assert.equal(await text(row(page, task.id).locator('.said')), 'step 3 of 10')
  assert.match(await text(row(page, task.id)), /running.*a batch.*30 %.*(for .*| left)/)
  task.step(10)
  await state(page, task.id, 'completed').waitFor()
  await same(page, '&type=walk')
  assert.deepEqual(page.wrong, [])
})

onNginx('filters and search narrow the list, and stay in the address', async () => {
  const failed = await submit(open, { type: 'fails', group: 'needle' })
  const counted = await submit(open, { type: 'wordcount', input: 'a b' })
  await reaches(failed, 'failed')
  await reaches(counted, 'completed')
  const page = await visit()
  await row(page, counted).waitFor()
  await page.getByRole('button', { name: /^failed/ }).click()
  await row(page, counted).waitFor({ state: 'detached' })
  await same(page, '&status=failed')
  assert.match(await text(row(page, failed)), /it does not work/)
  await page.getByRole('button', { name: /^all/ }).click()
  await row(page, counted).waitFor()
  await page.keyboard.press('/')
  await page.keyboard.type('NEEDLE')
  await row(page, counted).waitFor({ state: 'detached' })
  assert.equal(await page.locator('tr[data-id]').count(), 1)
  await page.reload()
  await row(page, failed).waitFor()
  assert.equal(await page.locator('tr[data-id]').count(), 1)
})

onNginx('a task is cancelled and run again by its buttons, with the keyboard', async () => {
  const task = await walk()
  const page = await visit()
  await row(page, task.id).getByRole('button', { name: 'Cancel' }).focus()
  await page.keyboard.press('Enter')
  await state(page, task.id, 'cancelled').waitFor()
  assert.equal((await read(open, task.id)).status, 'cancelled')
  await until(async () => /^Retry walk/.test(await focused(page)), 30, 'the focus stays where the button was')
  await page.keyboard.press('Enter')
  await state(page, task.id, 'running').waitFor()
  await row(page, task.id).getByRole('link', { name: /^walk/ }).click()
  task.step(10)
  await page.getByRole('button', { name: 'Run again' }).waitFor()
  const { status, attempt, event_count: events } = await read(open, task.id)
  assert.deepEqual([status, attempt], ['completed', 2])
  await page.locator('summary').click()
  await until(async () => await page.locator('.events tbody tr').count() === events, 30, 'it lists every event')
  assert.deepEqual(page.wrong, [])
})

test('text of a task stays text, in colours where a terminal shows them', async () => {
  const id = await submit(open, { type: 'hostile', group: MARKUP })
  const page = await visit()
  await state(page, id, 'completed').waitFor()
  assert.equal(await text(row(page, id).locator('.group')), MARKUP)
  await row(page, id).locator('.group').click()
  await page.getByRole('heading', { name: 'Group <img' }).waitFor()
  await row(page, id).getByRole('link', { name: /^hostile/ }).click()
  await page.getByRole('button', { name: 'Run again' }).waitFor()
  await page.locator('summary').click()
  const lines = page.getByRole('log', { name: 'Log', exact: true })
  await until(async () => (await text(lines)).includes(`red on blue <i>markup</i> green <img src=x onerror="window.hacked=1">`))
  assert.ok((await text(lines)).includes(MARKUP))
  assert.notEqual(...await lines.locator('span.f1').evaluate(node => [node, node.parentNode].map(each => getComputedStyle(each).color)))
  assert.equal(await lines.locator('span.f1').evaluate(node => node.textContent), 'red')
  assert.equal(await lines.locator('span.b4.s1').evaluate(node => node.textContent), 'on blue')
  assert.equal(await lines.locator('span.f10').evaluate(node => node.textContent), 'green <img src=x onerror="window.hacked=1">')
  assert.equal(await lines.locator('span.f5').evaluate(node => node.textContent), '<i>from descriptor 3')
  assert.match(await (await fetch(`${open.url}/api/tasks/${id}/log`)).text(), /^red on blue <i>markup<\/i> green/m)
  assert.equal((await text(page.getByRole('region', { name: 'Result' }))).trim(), MARKUP)
  await page.getByRole('button', { name: /^Show <img/ }).click()
  await until(async () => (await text(page.locator('.files pre'))).trim() === MARKUP)
  await until(() => page.locator('.files img').evaluate(image => image.naturalWidth === 1), 30, 'the picture is shown')
  assert.equal(await page.getByRole('button', { name: 'Show page.html' }).count(), 0, 'a page is only downloaded')
  const [saved] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'Download page.html' }).click()])
  assert.equal(readFileSync(await saved.path(), 'utf8').trim(), MARKUP)
  assert.equal(await page.evaluate(() => window.hacked), undefined)
  assert.equal(await page.locator('main img').count(), 1, 'but the picture there is none')
  assert.equal(await page.locator('main :is(script, i, b, style)').count(), 0)
  assert.deepEqual(page.wrong, [])
})

test('the policy of the page lets no inline script, style or markup in', async () => {
  const page = await visit()
  const { headers } = await fetch(open.url)
  assert.match(headers.get('content-security-policy'), /default-src 'none'; script-src 'self'; style-src 'self'/)
  assert.doesNotMatch(headers.get('content-security-policy'), /unsafe/)
  const tried = await page.evaluate(() => {
    const node = document.body.appendChild(document.createElement('p'))
    const attempts = [
      () => { node.innerHTML = '<b>x</b>' },
      () => { document.createElement('script').text = 'window.hacked=1' },
      () => node.setAttribute('onclick', 'window.hacked=1'),
      () => document.write('<b>x</b>')
    ].map(attempt => {
      try {
        attempt()
        return 'done'
      } catch (error) {
        return error.name
      }
    })
    node.setAttribute('style', 'font-size: 99px')
    return [...attempts, getComputedStyle(node).fontSize !== '99px']
  })
  assert.deepEqual(tried, ['TypeError', 'TypeError', 'TypeError', 'TypeError', true])
})

onNginx('text, JSON and a dropped file are submitted byte for byte', async () => {
  const page = await visit('#/new')
  const digest = bytes => createHash('sha256').update(bytes).digest('hex')
  const result = async () => {
    await page.getByRole('button', { name: 'Run again' }).waitFor()
    return (await text(page.getByRole('region', { name: 'Result' }))).trim()
  }
  const begin = async () => {
    await page.getByRole('link', { name: 'New task', exact: true }).click()
    await page.locator('select[name=type]').selectOption('sha256')
  }

  await begin()
  await page.getByLabel('Input', { exact: true }).fill('two words ä\n')
  await page.getByText('Options').click()
  await page.getByLabel('Group').fill('by hand')
  await page.getByRole('button', { name: 'Create task' }).click()
  assert.equal(await result(), digest('two words ä\n'))
  const [{ group_id: group }] = (await open.ask('GET', '/api/tasks?type=sha256')).tasks
  assert.equal(group, 'by hand')

  await begin()
  await page.getByLabel('JSON').check()
  await page.getByLabel('Input', { exact: true }).fill('{"a": [1,}')
  await page.getByRole('button', { name: 'Create task' }).click()
  await page.getByRole('alert').getByText(/JSON/).waitFor()
  await page.getByLabel('Input', { exact: true }).fill('{"a":  [1]}')
  await page.getByRole('button', { name: 'Create task' }).click()
  assert.equal(await result(), digest('{"a":  [1]}'))

  await begin()
  const size = 3 << 20
  const slow = await page.context().newCDPSession(page)
  await slow.send('Network.enable')
  await slow.send('Network.emulateNetworkConditions', { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: 3 << 20 })
  await page.evaluate(size => {
    const data = new DataTransfer()
    data.items.add(new File([new Uint8Array(size).fill(7)], 'seven.bin'))
    for (const type of ['dragover', 'drop']) document.querySelector('form').dispatchEvent(new DragEvent(type, { dataTransfer: data, bubbles: true, cancelable: true }))
    // what the bar shows while it goes up
    window.sent = new Set()
    const bar = document.querySelector('form progress')
    new MutationObserver(() => window.sent.add(bar.value)).observe(bar, { attributes: true })
  }, size)
  await page.getByText('seven.bin, 3.1 MB').waitFor()
  await page.getByRole('button', { name: 'Create task' }).click()
  assert.equal(await result(), digest(Buffer.alloc(size, 7)))
  assert.ok(await page.evaluate(() => [...window.sent].some(value => value > 0 && value < 1)), 'the bar showed how far it was')
  assert.deepEqual(page.wrong, [])
})

onNginx('a type is paused and goes on', async () => {
  const page = await visit('#/types')
  const line = page.getByRole('row').filter({ has: page.getByRole('link', { name: 'sha256', exact: true }) })
  await line.getByRole('button', { name: 'Pause' }).click()
  await line.getByText('paused').waitFor()
  const id = await submit(open, { type: 'sha256', input: 'later' })
  assert.equal((await open.ask('GET', '/api/types')).types.find(each => each.type === 'sha256').paused, true)
  assert.equal((await read(open, id)).status, 'pending')
  await line.getByRole('button', { name: 'Resume' }).click()
  await line.getByText('ready').waitFor()
  await reaches(id, 'completed')
})

onNginx('a group shows its tasks, and retries those that failed', async () => {
  const group = 'group/of its own'
  const ids = [await submit(open, { type: 'fails', group }), await submit(open, { type: 'wordcount', input: 'a', group })]
  await reaches(ids[0], 'failed')
  await reaches(ids[1], 'completed')
  const page = await visit('#/groups')
  await page.getByRole('link', { name: group }).click()
  await row(page, ids[1]).waitFor()
  await same(page, `&group=${encodeURIComponent(group)}`)
  assert.equal(await page.getByRole('button', { name: 'Cancel all' }).count(), 0, 'nothing is unfinished')
  await page.getByRole('button', { name: 'Retry failed' }).click()
  await page.getByRole('dialog', { name: `Retry 1 task of ${group}?` }).waitFor()
  assert.equal(await focused(page), 'Go back')
  await page.keyboard.press('Escape')
  await page.getByRole('dialog').waitFor({ state: 'detached' })
  assert.equal(await focused(page), 'Retry failed')
  assert.equal((await read(open, ids[0])).attempt, 1)
  await page.getByRole('button', { name: 'Retry failed' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Retry failed' }).click()
  await until(async () => (await read(open, ids[0])).attempt === 2)
  await reaches(ids[0], 'failed')
  await same(page, `&group=${encodeURIComponent(group)}`)
})

onNginx('a network that was away costs nothing: what happened meanwhile is there, and the list goes on', async () => {
  const way = await wire(open.url)
  closing.push(way)
  const page = await visit('#/tasks?type=walk', { url: way.url })
  const [early, late] = [await walk(), await walk()]
  await row(page, late.id).waitFor()
  early.step(2)
  await until(async () => await row(page, early.id).locator('progress').evaluate(bar => bar.value) === 20)
  way.cut()
  early.step(10)
  const meanwhile = await walk()
  meanwhile.step(10)
  await reaches(early.id, 'completed')
  await reaches(meanwhile.id, 'completed')
  await page.getByText('Reconnecting…').waitFor()
  assert.match(await text(row(page, early.id)), /running/)
  way.mend()
  await page.getByText('Live', { exact: true }).waitFor()
  await same(page, '&type=walk')
  late.step(10)
  await state(page, late.id, 'completed').waitFor()
  await same(page, '&type=walk')
})

onNginx('a log that is longer than its window is at its end, and stays there until somebody reads further up', async () => {
  const gate = `${open.dir}/gate-${Math.random()}`
  const id = await submit(open, { type: 'many', input: `${gate}\n` })
  const page = await visit(`#/task/${id}`)
  const log = page.getByRole('log', { name: 'Log', exact: true })
  const below = () => log.evaluate(node => node.scrollHeight - node.scrollTop - node.clientHeight)
  const shows = n => until(async () => await log.locator('div').count() === n, 40, `${n} lines`)
  await shows(300)
  await until(async () => await below() < 8, 10, 'its end is seen')
  await log.evaluate(node => { node.scrollTop = 100 })
  writeFileSync(gate, '')
  await shows(400)
  assert.equal(await log.evaluate(node => node.scrollTop), 100)
})

test('a reload in the middle, and a server that is restarted, lose no line of the log', async () => {
  const task = await walk()
  const page = await visit(`#/task/${task.id}`)
  const lines = () => page.getByRole('log', { name: 'Log', exact: true }).locator('div').allTextContents()
  const walked = n => Array.from({ length: n }, (_, i) => `walked to ${i + 1}`)
  const shows = n => until(async () => JSON.stringify(await lines()) === JSON.stringify(walked(n)), 40, `${n} lines`)
  task.step(3)
  await shows(3)
  await page.reload()
  task.step(5)
  await shows(5)
  await open.restart()
  task.step(8)
  await shows(8)
  task.step(10)
  await page.getByRole('button', { name: 'Run again' }).waitFor()
  await shows(10)
  assert.equal(await page.locator('main progress').first().evaluate(bar => bar.value), 100)
  assert.match(await text(page.getByRole('region', { name: 'Result' })), /"walked": 10/)
})

test('who is nobody signs in by a token, sees what is theirs, and is asked again when it ends', async () => {
  const id = (await closed.alice('POST', '/api/tasks', { type: 'hostile' })).task_id
  const page = await visit('#/tasks', { url: closed.url })
  const dialog = page.getByRole('dialog')
  await dialog.getByLabel('Token').fill('wrong')
  await dialog.getByRole('button', { name: 'Sign in' }).click()
  await dialog.getByText(/not known/).waitFor()
  await dialog.getByLabel('Token').fill(closed.token)
  await dialog.getByRole('button', { name: 'Sign in' }).click()
  await state(page, id, 'completed').waitFor()
  assert.equal(await page.locator('.figure').count(), 0, 'statistics are for admins')
  await row(page, id).getByRole('link').click()
  await until(() => page.locator('.files img').evaluate(image => image.naturalWidth === 1), 30, 'a picture, by a ticket')
  const [saved] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'Download page.html' }).click()])
  assert.equal(readFileSync(await saved.path(), 'utf8').trim(), MARKUP)
  assert.ok(!page.asked.some(url => url.includes(closed.token)), 'the token is in no address')
  await page.reload()
  await page.locator('.files img').waitFor()
  await page.getByRole('button', { name: 'Sign out' }).click()
  await dialog.waitFor()
  assert.equal(await page.locator('.files').count(), 0, 'nothing of theirs stays')
  await dialog.getByLabel('Token').fill(process.env.CLOSED_ADMIN)
  await dialog.getByRole('button', { name: 'Sign in' }).click()
  await page.getByRole('link', { name: 'System' }).click()
  await page.getByText('leat.fcgi').first().waitFor()
  assert.deepEqual(page.wrong, [])
})

onNginx('a token that is not known changes nothing, and one that ends is told, and forgotten', async () => {
  const { token, revoke } = newcomer(closed)
  const page = await visit('#/tasks', { url: closed.url })
  await until(async () => await focused(page) === 'token')
  await signIn(page, 'wrong')
  await page.getByRole('alert').getByText('not known').waitFor()
  assert.deepEqual([await focused(page), await page.getByLabel('Token').getAttribute('aria-invalid')], ['token', 'true'])
  await page.route('**/api/stats', nowhere)
  await signIn(page, token)
  await page.getByRole('alert').getByText('The server cannot be reached.').waitFor()
  await page.unroute('**/api/stats')
  await signIn(page, token)
  await page.getByText('There is no task yet.').waitFor()
  assert.equal(await focused(page), 'Tasks')
  revoke()
  await page.getByRole('dialog').getByText('expired or was revoked').waitFor()
  assert.equal(await focused(page), 'token')
  assert.equal(await page.evaluate(() => localStorage.length + sessionStorage.length), 1, 'but for the colours nothing is kept')
  await page.keyboard.press('Escape')
  await page.getByText('Sign in to see your tasks.').waitFor()
  await page.getByRole('main').getByRole('button', { name: 'Sign in' }).click()
  await page.getByRole('dialog').waitFor()
  assert.deepEqual(page.wrong, [])
})

onNginx('a server that cannot be reached is waited for, and the page says so', async () => {
  const page = await visit('#/groups', { route: ['**/api/**', nowhere] })
  await page.getByRole('heading', { name: 'No connection' }).waitFor()
  assert.deepEqual(await barriers(page), [])
  await page.unroute('**/api/**')
  await page.getByRole('button', { name: 'Try now' }).click()
  await page.getByRole('heading', { name: 'Groups' }).waitFor()
  await page.route('**/api/tasks?*', route => route.fulfill({ status: 404, contentType: 'application/problem+json', body: '{"detail":"no way"}' }))
  await page.getByRole('link', { name: 'Tasks' }).click()
  await page.getByText('No way.').waitFor()
  assert.deepEqual(await barriers(page), [])
  await page.unroute('**/api/tasks?*')
  await page.getByRole('button', { name: 'Try again' }).click()
  await page.locator('tr[data-id]').first().waitFor()
})

onNginx('where a button goes that has the focus, the focus waits for the next one', async () => {
  const page = await visit('#/types')
  const held = await page.evaluate(async () => {
    const { button, h, put } = await import('/dashboard/dom.js')
    const place = document.querySelector('main').appendChild(h('p', null, button('Other', () => {}), button('Cancel', () => {})))
    place.lastChild.focus()
    const name = () => document.activeElement === place ? 'the place' : document.activeElement.textContent
    return [[button('Cancel', () => {})], ['stopping'], [button('Retry', () => {})]].map(children => (put(place, children), name()))
  })
  assert.deepEqual(held, ['Cancel', 'the place', 'Retry'])
})

onNginx('notices are few, and go when they are told to; the skip link stays in its view', async () => {
  const page = await visit('#/types')
  await page.locator('tbody tr').first().waitFor()
  await page.evaluate(async () => {
    const { toast } = await import('/dashboard/dom.js')
    for (const n of [1, 2, 3, 4, 5, 6, 6]) toast(`${n} of a kind that does not break: ${'x'.repeat(80)}`, 'error')
  })
  const notices = page.getByRole('log', { name: 'Notices' }).locator('p')
  assert.deepEqual((await notices.allTextContents()).map(text => text[0]), ['3', '4', '5', '6'])
  assert.deepEqual(await barriers(page), [])
  await notices.first().getByRole('button', { name: 'Dismiss' }).focus()
  await page.keyboard.press('Enter')
  assert.equal(await notices.count(), 3)
  assert.equal(await focused(page), 'Types')
  await page.locator('.skip').focus()
  await page.keyboard.press('Enter')
  assert.equal(await focused(page), 'Types')
})

// Something to look at: a task that has ended, and one in its group that has not.
let there = null
async function content() {
  const id = await submit(open, { type: 'hostile', group: 'axe' })
  await walk({ group: 'axe' })
  await reaches(id, 'completed')
  return id
}

for (const [name, options] of Object.entries({
  light: { colorScheme: 'light' }, dark: { colorScheme: 'dark' }, phone: { viewport: { width: 390, height: 800 }, hasTouch: true }
})) {
  onNginx(`axe finds nothing in any view: ${name}`, async () => {
    const id = await (there ??= content())
    const page = await visit('#/tasks', options)
    const views = { tasks: 'tr[data-id]', [`task/${id}`]: '.lines div', groups: 'tbody tr', 'group?id=axe': 'tr[data-id]', types: 'tbody tr', new: 'option', system: '.plain td' }
    for (const [view, sign] of Object.entries(views)) {
      await page.evaluate(view => { location.hash = `#/${view}` }, view)
      await page.locator(sign).first().waitFor({ state: 'attached' })
      if (view.startsWith('task/')) await page.locator('summary').click()
      assert.deepEqual(await barriers(page), [], view)
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
      assert.ok(wide <= 0, `${view} is ${wide} pixels too wide`)
      if (name !== 'phone') continue
      await page.setViewportSize({ width: 320, height: 600 }) // the smallest there are
      const cut = () => page.evaluate(() => [document.documentElement.scrollWidth, ...[...document.querySelectorAll('nav a, main a, main button, header button')]
        .filter(node => !node.closest('.choice')).map(node => node.getBoundingClientRect().right)].some(right => Math.floor(right) > innerWidth))
      assert.equal(await cut(), false, `${view} is wider than a small phone`)
      await page.setViewportSize(options.viewport)
    }
  })
}

// What is no view of its own: where it is, what to do there, and what is there then.
const notAdmin = ['**/api/stats', route => route.fulfill({ status: 403, contentType: 'application/problem+json', body: '{"code":"scope_missing","status":403}' })]
const press = name => page => page.getByRole('main').getByRole('button', { name }).click()
const states = {
  'sign-in over tasks': { view: '#/tasks', route: notAdmin, act: page => page.getByRole('button', { name: 'Sign in' }).click(), sign: 'dialog' },
  'a wrong token': { view: '#/tasks', route: notAdmin, sign: 'dialog .wrong:not(:empty)', async act(page) {
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.unroute(notAdmin[0])
    await signIn(page, 'wrong')
  } },
  'figures for who is no admin': { view: '#/system', route: notAdmin, sign: '.empty' },
  'types for who is no admin': { view: '#/types', route: notAdmin, sign: 'tbody tr' },
  'a question about a group': { view: '#/group?id=axe', act: press('Cancel all'), sign: 'dialog' },
  'a question about a task': { view: 'TASK', act: press('Delete'), sign: 'dialog' },
  'nothing that matches': { view: '#/tasks?q=nothing-of-this-name', sign: '.empty button' },
  'a group of nothing': { view: '#/group?id=never%20used', sign: '.empty a' },
  'no group': { view: '#/groups', route: ['**/api/groups?*', route => route.fulfill({ json: { groups: [], next_page_token: '' } })], sign: '.empty a' },
  'no type': { view: '#/types', route: ['**/api/types', route => route.fulfill({ json: { types: [] } })], sign: '.empty' },
  'no such task': { view: '#/task/none', sign: '.empty a' },
  'text that is not JSON': { view: '#/new', sign: '.wrong:not(:empty)', async act(page) {
    await page.getByLabel('JSON').check()
    await press('Create task')(page)
  } },
  'no file': { view: '#/new', sign: '.wrong:not(:empty)', async act(page) {
    await page.getByLabel('File', { exact: true }).check()
    await press('Create task')(page)
  } },
  'notices': { view: '#/tasks', sign: '#toasts .error', act: page => page.evaluate(async () => {
    const { toast } = await import('/dashboard/dom.js')
    toast('walk is being cancelled.')
    toast(`It cannot be: ${'x'.repeat(120)}`, 'error')
  }) }
}
for (const [name, options] of Object.entries({
  light: { colorScheme: 'light' }, dark: { colorScheme: 'dark' }, phone: { viewport: { width: 360, height: 740 }, hasTouch: true }
})) {
  onNginx(`axe finds nothing in dialogs, notices, errors and empty views: ${name}`, async () => {
    const id = await (there ??= content())
    for (const [state, { view, act, sign, route }] of Object.entries(states)) {
      const page = await visit(view.replace('TASK', `#/task/${id}`), { ...options, route })
      await act?.(page)
      await page.locator(sign).first().waitFor()
      assert.deepEqual(await barriers(page), [], state)
      const cut = await page.evaluate(() => [document.documentElement.scrollWidth, ...[...document.querySelectorAll('dialog *, #toasts *, .empty *, .wrong')]
        .map(node => Math.floor(node.getBoundingClientRect().right))].filter(right => right > innerWidth))
      assert.deepEqual(cut, [], `${state} is too wide`)
      await page.context().close()
    }
  })
}

test('the whole of it is small', async () => {
  const page = await visit()
  await page.getByText('Live', { exact: true }).waitFor()
  const bytes = await page.evaluate(() => [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
    .filter(entry => !entry.name.includes('/api/')).reduce((sum, entry) => sum + entry.encodedBodySize, 0))
  assert.ok(bytes > 10000 && bytes < 60000, `${bytes} bytes`)
})

test('with the page open and nothing happening, the log shows a request a rotation, and nothing else', async () => {
  const admin = { Authorization: `Bearer ${process.env.CLOSED_ADMIN}` }
  const id = await submit(closed, { type: 'wordcount', input: 'a' }, admin)
  await until(async () => (await closed.ask('GET', `/api/tasks/${id}`, undefined, admin)).status === 'completed')
  const page = await visit('#/tasks', { url: closed.url })
  await page.getByRole('dialog').getByLabel('Token').fill(process.env.CLOSED_ADMIN)
  await page.getByRole('dialog').getByRole('button', { name: 'Sign in' }).click()
  await state(page, id, 'completed').waitFor()
  await page.locator('.figure').first().waitFor()
  await page.getByText('Live', { exact: true }).waitFor()
  const asked = from => [...closed.log().slice(from).matchAll(/msg="request" .*?route=(\S+) status=(\d+)/g)].map(line => `${line[1]} ${line[2]}`)
  let from
  let began
  await until(async () => { // its figures are asked for once more
    from = closed.log().length
    began = Date.now()
    await until(() => asked(from).length >= 4, 60)
    return asked(from).every(line => line === '/events 200')
  }, 90, 'the page becomes quiet')
  assert.ok(asked(from).length <= (Date.now() - began) / 2000 + 1, `${asked(from).length} requests in ${Date.now() - began} ms`)
  assert.deepEqual(page.wrong, [])
})
