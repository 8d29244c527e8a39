// A new task: text, JSON or a file, which may be dropped anywhere on the form.
import { client, get, noticed, reason } from './api.js'
import { busy, bytes, h, put, say, span } from './dom.js'

const field = (label, control, hint) => h('label', null, h('span', null, label), control, hint && h('small', null, hint))
const number = (name, props) => h('input', { name, type: 'number', inputmode: 'decimal', step: 'any', ...props })

export function view({ parameters, signal }) {
  const kinds = { text: 'Text', json: 'JSON', file: 'File' }
  let file = null
  let types = []

  const type = h('select', { name: 'type', required: true })
  const about = h('small')
  const input = h('textarea', { name: 'input', rows: 8, spellcheck: 'false', 'aria-label': 'Input', 'aria-describedby': 'wrong' })
  const picker = h('input', { type: 'file', id: 'file', 'aria-describedby': 'chosen wrong', change: () => choose(picker.files[0]) })
  const chosen = h('span', { id: 'chosen' }, 'or drop it here')
  const drop = h('div.drop', { hidden: true }, h('label', { for: 'file' }, 'Choose a file'), picker, chosen)
  const radios = Object.entries(kinds).map(([value, label]) => h('label', null,
    h('input', { type: 'radio', name: 'kind', value, checked: value === 'text', change: () => show(value) }), label))
  const sent = h('progress', { max: 1, value: 0, 'aria-label': 'Upload', hidden: true })
  const sentText = h('small', { role: 'status' })
  const wrong = h('p.wrong.foreign', { id: 'wrong', role: 'alert' })
  const go = h('button.primary', { type: 'submit' }, 'Create task')
  const stop = h('button', { type: 'button', hidden: true }, 'Stop')

  function show(kind) {
    input.hidden = kind === 'file'
    drop.hidden = kind !== 'file'
    input.placeholder = kind === 'json' ? '{"any": "JSON"}' : 'What the job reads on its standard input'
    form.elements.kind.value = kind
  }
  function choose(chosenFile) {
    if (!chosenFile) return
    file = chosenFile
    show('file')
    say(chosen, `${file.name}, ${bytes(file.size)}`)
  }
  function describe() {
    const limits = types.find(each => each.type === type.value)
    say(about, limits ? `At most ${bytes(limits.max_input_bytes)} of input and ${span(limits.timeout)} to run.` : '')
  }
  type.addEventListener('change', describe)

  const fault = (control, words) => Object.assign(new Error(words), { control })
  function blame(control) {
    for (const each of [input, picker]) each.ariaInvalid = each === control ? 'true' : null
    control?.focus()
  }

  // The body as the job will read it, byte for byte; throws what is wrong with it.
  function content(kind) {
    if (kind === 'file') {
      if (!file) throw fault(picker, 'Choose a file first.')
      return file
    }
    try {
      if (kind === 'json') JSON.parse(input.value)
    } catch (error) {
      throw fault(input, `This is not JSON: ${error.message}`)
    }
    return new Blob([input.value], { type: kind === 'json' ? 'application/json' : 'text/plain;charset=utf-8' })
  }

  async function submit(event) {
    event.preventDefault()
    if (go.ariaDisabled) return
    say(wrong, '')
    blame(null)
    const values = new FormData(form)
    const abort = new AbortController()
    const options = Object.fromEntries(['group', 'priority', 'delay', 'timeout', 'unique'].map(name => [name, values.get(name) || null]))
    try {
      const blob = content(values.get('kind'))
      busy(go)
      sent.hidden = stop.hidden = blob.size < 100000
      stop.onclick = () => abort.abort(new Error('The upload was stopped.'))
      const task = await client.submit(values.get('type'), blob, { ...options, signal: abort.signal, onupload(loaded, total) {
        sent.value = total ? loaded / total : 0
        if (!sent.hidden) say(sentText, `${bytes(loaded)} of ${bytes(total)}`)
      } })
      if (!signal.aborted) location.hash = `#/task/${task.id}`
    } catch (error) {
      say(wrong, reason(noticed(error)))
      blame(error.control)
    }
    busy(go, false)
    sent.hidden = stop.hidden = true
    say(sentText, '')
  }

  const form = h('form.card.new', { submit,
    dragover: event => (event.preventDefault(), form.classList.add('over')),
    dragleave: () => form.classList.remove('over'),
    drop(event) {
      event.preventDefault()
      form.classList.remove('over')
      choose(event.dataTransfer.files[0])
    } },
    field('Type', type), about,
    h('fieldset', null, h('legend', null, 'Input'), h('div.choice', null, radios), input, drop),
    h('details', { open: parameters.has('group') }, h('summary', null, 'Options'), h('div.grid', null,
      field('Group', h('input', { name: 'group', maxlength: 200, value: parameters.get('group') }), 'A batch, a session, a repository: any name'),
      field('Priority', number('priority', { min: -100, max: 100, step: 1 }), '-100 to 100'),
      field('Delay', number('delay', { min: 0 }), 'Seconds before it may begin'),
      field('Timeout', number('timeout', { min: 0 }), 'Seconds, at most those of its type'),
      field('Unique', h('input', { name: 'unique' }), 'An unfinished task of this type and name is joined'))),
    wrong, h('div.row', null, go, stop, sent, sentText))

  get('/types', null, signal).then(answer => {
    ({ types } = answer)
    put(type, types.map(each => h('option', { value: each.type, selected: each.type === parameters.get('type') }, each.type)))
    describe()
    if (!types.length) say(wrong, 'There is no job yet: put an executable into the jobs folder.')
  }, error => signal.aborted || say(wrong, reason(noticed(error))))
  show('text')
  return { title: 'New task', node: form }
}
