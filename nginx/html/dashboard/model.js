// What a page makes of a task's document.
import { span } from './dom.js'

export const FINAL = ['completed', 'failed', 'timeout', 'cancelled']
export const STATES = ['running', 'pending', ...FINAL]
export const final = task => FINAL.includes(task.status)

// The document that a task.created begins.
export const begun = event => ({
  id: event.task_id, type: event.payload.type, status: 'pending', progress: 0, group_id: event.group_id, request_id: event.request_id,
  created_at: event.ts, updated_at: event.ts, event_count: event.task_seq, attempt: 0, files: []
})

// Seconds that it has run and may still run: between two events the page counts on by itself from `seen`.
export function clock(task, seen, now = Date.now()) {
  const since = task.status === 'running' ? (now - seen) / 1000 : 0
  const left = task.estimated_remaining_seconds
  return {
    elapsed: task.elapsed_seconds == null ? (task.status === 'running' ? since : null) : task.elapsed_seconds + since,
    left: left == null || task.status !== 'running' ? null : Math.max(0, left - since)
  }
}

export function timing(task, seen, now = Date.now()) {
  if (task.status === 'pending') {
    if (task.run_at > now) return `starts in ${span((task.run_at - now) / 1000)}`
    return task.queue_position ? `number ${task.queue_position} in line` : 'in line'
  }
  const { elapsed, left } = clock(task, seen, now)
  if (left > 0) return `${span(left)} left` // at nothing it was wrong
  return elapsed == null ? '' : `${task.status === 'running' ? 'for' : 'took'} ${span(elapsed)}`
}

// What there is to say of it in a line.
export const words = task => task.status === 'cancelled' ? '' : task.error?.message || task.error?.code || [task.phase, task.message].filter(Boolean).join(' · ')
