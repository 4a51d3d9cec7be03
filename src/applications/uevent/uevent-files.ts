/**
 * The files `uevent` of objects, at /sys and the object's path. Nothing keeps two objects from having one path, as
 * Linux's sysfs would: then the file is the last one's, and when that goes, the one's before it.
 */
import type { ProcTree } from '../../kernel/proc/tree.js'
import type { Kobject } from './kobject.js'

export class UeventFiles {
  readonly #proc: ProcTree
  readonly #write: (kobj: Kobject, text: string) => void
  readonly #paths = new Map<Kobject, string>()
  readonly #at = new Map<string, { readonly objects: Set<Kobject>; undefine(): void }>()

  /** @param write what is written to an object's file */
  constructor(proc: ProcTree, write: (kobj: Kobject, text: string) => void) {
    this.#proc = proc
    this.#write = write
  }

  /** Gives an object its file, in the place of one that it may have. */
  add(kobj: Kobject, devpath: string): void {
    this.remove(kobj)
    this.#paths.set(kobj, devpath)
    const there = this.#at.get(devpath)
    if (there !== undefined) {
      there.objects.add(kobj)
      return
    }
    const objects = new Set([kobj])
    const write = (text: string): void => {
      const last = [...objects].at(-1)
      if (last !== undefined) this.#write(last, text)
    }
    this.#at.set(devpath, { objects, undefine: this.#proc.define(`/sys${devpath}/uevent`, { write }) })
  }

  /** Takes the file of an object along that has got another name; one that has no file gets none. */
  move(kobj: Kobject, devpath: string): void {
    const path = this.#paths.get(kobj)
    if (path !== undefined && path !== devpath) this.add(kobj, devpath)
  }

  remove(kobj: Kobject): void {
    const path = this.#paths.get(kobj)
    if (path === undefined) return
    this.#paths.delete(kobj)
    const there = this.#at.get(path)
    there?.objects.delete(kobj)
    if (there?.objects.size !== 0) return
    this.#at.delete(path)
    there.undefine()
  }
}
