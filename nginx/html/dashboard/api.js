// The client of this page, and who asks: the token that somebody signed in with, or nobody in particular.
import { backoff, connect } from '../leat.js'

const KEY = 'leat-token'
const base = document.querySelector('meta[name=leat-api]').content

export const session = new EventTarget() // 'change', whenever somebody else asks or may do something else
Object.assign(session, {
  token: sessionStorage.getItem(KEY) ?? localStorage.getItem(KEY),
  admin: false, // may see statistics and pause types
  refused: false, // no way in without a token
  ended: false, // the token that was here is of no use any more
  away: null // why nobody knows yet who asks
})

// Another token is another client: what the old one had open ends with its views.
export let client
function renew() {
  client = connect({ base, token: session.token })
  tickets.clear()
}

const TICKETS = 100 // kept; each is asked for again when it is needed
const tickets = new Map() // task: {ticket, expires_at}
renew()

// What went wrong, for those who read it.
export function reason(error) {
  const words = error.code === 'unreachable' ? 'the server cannot be reached' : error.message
  return words.charAt(0).toUpperCase() + words.slice(1) + (/[.!?]$/.test(words) ? '' : '.')
}

// What went wrong, to whom it may concern: where the token has ended, another one is asked for.
export function noticed(error) {
  if (error.status === 401 && !session.refused) identify()
  return error
}

export async function ask(method, path, { body, query, signal } = {}) {
  try {
    return await client.request(method, path, body, { query, signal })
  } catch (error) {
    throw noticed(error)
  }
}

export const get = (path, query, signal) => ask('GET', path, { query, signal })
export const taskPath = (id, tail = '') => `/tasks/${encodeURIComponent(id)}${tail}`
// in the query any name may stand; and an owner, where an admin looks at what is somebody else's
export const groupQuery = ({ id, owner }) => ({ group: id, owner: session.admin ? owner : null })
export const link = (view, values) => `#/${view}?${new URLSearchParams(Object.entries(values).filter(([, value]) => value))}`

// The address of something of a task for images and downloads, which send no token: with a ticket for this task alone.
export async function address(id, url) {
  if (!session.token) return url
  let ticket = tickets.get(id)
  if (!ticket || ticket.expires_at < Date.now() + 30000) {
    ticket = await client.ticket(id, { ttl: 300 })
    tickets.delete(id)
    tickets.set(id, ticket)
    if (tickets.size > TICKETS) tickets.delete(tickets.keys().next().value)
  }
  return `${url}?ticket=${encodeURIComponent(ticket.ticket)}`
}

// What a client may do: statistics are for admins. Throws where nobody can tell.
async function rights(client) {
  try {
    await client.fetch('GET', '/stats')
    return { admin: true, refused: false }
  } catch (error) {
    if (error.status === 401 || error.status === 403) return { admin: false, refused: error.status === 401 }
    throw error
  }
}

let told = null // what the last 'change' said
function become(values) {
  Object.assign(session, values)
  const { token, admin, refused, ended, away } = session
  const now = JSON.stringify([token, admin, refused, ended, away])
  if (now === told) return
  told = now
  session.dispatchEvent(new Event('change'))
}

let running = null
let wake = null
export const hurry = () => wake?.()

// Finds out who asks, however long the server is away.
export function identify() {
  return running ??= find().finally(() => { running = null })
}
async function find() {
  for (let attempt = 0; ; attempt++) {
    const asked = client
    try {
      const found = await rights(asked)
      if (asked !== client) continue
      if (!found.refused || !session.token) return become({ ...found, away: null })
      keep(null)
      session.ended = true
    } catch (error) {
      if (asked !== client) continue
      become({ away: reason(error) })
      await new Promise(resolve => {
        wake = resolve
        setTimeout(resolve, backoff(attempt, error.retryAfter))
      })
    }
  }
}

// `stay`: beyond this tab and this visit.
function keep(token, stay) {
  localStorage.removeItem(KEY)
  sessionStorage.removeItem(KEY)
  if (token) (stay ? localStorage : sessionStorage).setItem(KEY, token)
  session.token = token
  renew()
}

// Somebody signs in: throws, and changes nothing, unless the server knows the token.
export async function signIn(token, stay) {
  const found = await rights(connect({ base, token }))
  if (found.refused) throw Object.assign(new Error('This token is not known here, has expired, or was revoked.'), { status: 401 })
  keep(token, stay)
  become({ ...found, ended: false, away: null })
}

export function signOut() {
  keep(null)
  session.ended = false
  return identify()
}
