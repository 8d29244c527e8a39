// The client of this page, and who asks: the token that somebody signed in with, or nobody in particular.
import { connect } from '../leat.js'

const KEY = 'leat-token'
const base = document.querySelector('meta[name=leat-api]').content

export const session = new EventTarget() // 'change', whenever somebody else asks or may do something else
Object.assign(session, {
  token: sessionStorage.getItem(KEY) ?? localStorage.getItem(KEY),
  admin: false, // may see statistics and pause types
  refused: false // no way in without a token, or with this one
})

// Another token is another client: what the old one had open ends with its views.
export let client
function renew() {
  client = connect({ base, token: session.token })
  tickets.clear()
}

const tickets = new Map() // task: {ticket, expires_at}
renew()

// What went wrong, to whom it may concern: an end of the token asks for another one.
export function noticed(error) {
  if (error.status === 401 && !session.refused) {
    session.refused = true
    session.dispatchEvent(new Event('change'))
  }
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
    tickets.set(id, ticket)
  }
  return `${url}?ticket=${encodeURIComponent(ticket.ticket)}`
}

// Finds out what may be done: statistics are for admins.
export async function identify() {
  const status = await client.stats().then(() => 200, error => error.status)
  session.admin = status === 200 || status === 503
  session.refused = status === 401
  session.dispatchEvent(new Event('change'))
}

// keep: beyond this tab and this visit. null signs out.
export function sign(token, keep) {
  localStorage.removeItem(KEY)
  sessionStorage.removeItem(KEY)
  if (token) (keep ? localStorage : sessionStorage).setItem(KEY, token)
  session.token = token
  renew()
  return identify()
}
