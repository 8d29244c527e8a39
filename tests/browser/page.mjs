// Chromium, its pages, and a network that can be cut between it and a server.
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import http from 'node:http'
import { connect, createServer } from 'node:net'
import { load } from './server.mjs'

export function launch() {
  const executablePath = ['/usr/bin/chromium', '/usr/bin/chromium-browser'].find(path => existsSync(path))
  assert.ok(executablePath, 'chromium is installed')
  return load('playwright-core').chromium.launch({
    executablePath,
    chromiumSandbox: process.getuid() !== 0, // it refuses to have one as root
    args: ['--disable-gpu', '--disable-dev-shm-usage', '--no-proxy-server', '--disable-extensions']
  })
}

// A page that has seen nothing yet, of a context that is put where the test finds what it has to close. What it asks for
// is in `asked`, the errors that nobody caught in `wrong`.
export async function newPage(browser, closing) {
  const context = await browser.newContext()
  closing.push(context)
  const page = await context.newPage()
  page.setDefaultTimeout(60000)
  page.asked = []
  page.wrong = []
  page.on('request', request => page.asked.push(`${request.method()} ${new URL(request.url()).pathname}`))
  page.on('pageerror', error => page.wrong.push(`${error}`))
  return page
}

// What axe-core finds wrong in a page as it is: nothing, or rules and the elements that break them.
export async function barriers(page) {
  await page.evaluate(`${readFileSync(`${process.env.NODE_MODULES}/axe-core/axe.min.js`, 'utf8')};0`)
  const { violations } = await page.evaluate(() => window.axe.run(document))
  return violations.map(each => [each.id, ...each.nodes.map(node => node.html)])
}

// The lines of a recipe's README that replace a poll loop, as somebody types them.
export function tenLines(recipe) {
  const readme = readFileSync(new URL(`../../nginx/recipes/${recipe}/README.md`, import.meta.url), 'utf8')
  const code = readme.match(/## Replace your poll loop in ten lines\n\n```js\n([\s\S]*?)```/)[1]
  assert.ok(code.trim().split('\n').length <= 10)
  return code
}

// A way to the server that passes bytes on until it is cut: then every connection breaks, and none is made. Where it is
// only torn, those that are there break.
export async function wire(url) {
  const { hostname, port } = new URL(url)
  const open = new Set()
  let whole = true
  const server = createServer(socket => {
    if (!whole) return socket.resetAndDestroy()
    const upstream = connect(Number(port), hostname)
    for (const [from, to] of [[socket, upstream], [upstream, socket]]) {
      open.add(from)
      from.on('error', () => {})
      from.on('close', () => {
        open.delete(from)
        to.destroy()
      })
      from.pipe(to)
    }
  })
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    tear() { for (const socket of open) socket.resetAndDestroy() },
    cut() {
      whole = false
      this.tear()
    },
    mend() { whole = true },
    close() {
      this.cut()
      server.close()
    }
  }
}

// A way to the server that keeps a stream until its end, as a proxy does that buffers, until it lets them through.
export async function buffering(url) {
  let holds = true
  const server = http.createServer((request, answer) => {
    const { method, headers } = request
    const upstream = http.request(url + request.url, { method, headers: { ...headers, host: new URL(url).host } }, from => {
      const held = holds && /event-stream/.test(from.headers['content-type'])
      if (!held) {
        answer.writeHead(from.statusCode, from.headers)
        from.pipe(answer)
        return
      }
      const kept = []
      from.on('data', bytes => kept.push(bytes))
      from.on('end', () => answer.writeHead(from.statusCode, from.headers).end(Buffer.concat(kept)))
    })
    upstream.on('error', () => answer.destroy())
    answer.on('close', () => upstream.destroy())
    request.pipe(upstream)
  })
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    pass() { holds = false },
    close() {
      server.close()
      server.closeAllConnections()
    }
  }
}
