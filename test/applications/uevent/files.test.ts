/**
 * The files `uevent` of objects: there from `add` to `remove`, at the object's path.
 */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { Kobject, Kset, uevents } from '../../../src/applications/uevent/index.js'
import { boot } from '../../../src/index.js'

const kernel = boot({ khelpers: 1 })
after(() => kernel.shutdown())
const events = uevents(kernel)
let sets = 0
const inSetOfItsOwn = () => {
  sets += 1
  return new Kset(`set${sets}`)
}

const gone = (path: string) =>
  assert.throws(() => kernel.proc.write(`/sys${path}/uevent`, 'change'), { code: 'ENOENT' }, path)

/** Writes to the file of a path, and gives the object whose event that sent. */
function write(path: string): void {
  const before = events.seqnum
  kernel.proc.write(`/sys${path}/uevent`, 'change')
  assert.equal(events.seqnum, before + 1)
}

test('an object that is renamed takes its file along', () => {
  const kset = inSetOfItsOwn()
  const object = new Kobject('old', { kset })
  events.kobjectUevent(object, 'add')
  object.name = 'new'
  events.kobjectUevent(object, 'move')
  gone(`/${kset.name}/old`)
  write(`/${kset.name}/new`)
  object.del()
  gone(`/${kset.name}/new`)
})

test('added again under another name it leaves nothing behind', () => {
  const kset = inSetOfItsOwn()
  const object = new Kobject('first', { kset })
  events.kobjectUevent(object, 'add')
  object.name = 'second'
  events.kobjectUevent(object, 'add')
  object.del()
  assert.throws(() => kernel.proc.list(`/sys/${kset.name}`), { code: 'ENOENT' })
})

test('one that was never added, or has gone, gets no file by other events', () => {
  const kset = inSetOfItsOwn()
  const object = new Kobject('plain', { kset })
  events.kobjectUevent(object, 'change')
  gone(`/${kset.name}/plain`)
  events.kobjectUevent(object, 'add')
  object.del()
  gone(`/${kset.name}/plain`)
})

test('of two objects with one path, the one that stays keeps its file', () => {
  for (const first of [true, false]) {
    const names: string[] = []
    const kset = new Kset(`both${first}`, {
      uevent: kobj => {
        names.push(kobj === one ? 'one' : 'other')
      },
    })
    const one = new Kobject('same', { kset })
    const other = new Kobject('same', { kset })
    events.kobjectUevent(one, 'add')
    events.kobjectUevent(other, 'add')
    ;(first ? one : other).del()
    write(`/${kset.name}/same`)
    assert.equal(names.at(-1), first ? 'other' : 'one')
    ;(first ? other : one).del()
    gone(`/${kset.name}/same`)
  }
})

test('the file goes with the object although nobody may hear of it', () => {
  const kset = inSetOfItsOwn()
  const object = new Kobject('quiet', { kset })
  events.kobjectUevent(object, 'add')
  object.ueventSuppress = true
  object.del()
  gone(`/${kset.name}/quiet`)
})
