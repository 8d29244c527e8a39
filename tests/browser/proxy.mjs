// A proxy that is only a wire, and can be cut: Chromium's offline mode does not cut loopback.
import { connect, createServer } from 'node:net'

// {url, cut(), down(), up(), close()}: in front of the server at `url`.
export async function wire(url) {
  const target = new URL(url)
  const open = new Set()
  let refused = false
  const server = createServer(client => {
    if (refused) return client.resetAndDestroy()
    const there = connect(Number(target.port), target.hostname)
    const both = [client, there]
    open.add(both)
    for (const [a, b] of [both, [there, client]]) {
      a.setNoDelay(true)
      a.on('data', bytes => b.write(bytes))
      a.on('end', () => b.end())
      a.on('error', () => {})
      a.on('close', () => { open.delete(both); b.destroy() })
    }
  })
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve))
  const cut = () => { for (const both of open) for (const socket of both) socket.resetAndDestroy() }
  return {
    url: `http://localhost:${server.address().port}`,
    cut,
    down() { refused = true; cut() },
    up() { refused = false },
    close() { cut(); server.close() }
  }
}
