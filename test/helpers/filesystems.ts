/**
 * fs/filesystems.c on top of khelper/kmod: what has get_fs_type for the self-test of kmod.
 */
import type { Kmod } from '../../src/applications/kmod/index.js'
import type { ModuleOwner } from '../../src/applications/kmod/module-exports.js'

export interface FileSystemType {
  readonly name: string
  readonly owner: ModuleOwner
  readonly hasSubtype?: boolean
}

export class FileSystems {
  readonly #types = new Map<string, FileSystemType>()
  readonly #modules: Kmod
  readonly notices: string[] = []

  constructor(modules: Kmod) {
    this.#modules = modules
    modules.exportSymbols({
      register_filesystem: (type: FileSystemType) => {
        this.#types.set(type.name, type)
        return 0
      },
      unregister_filesystem: (type: FileSystemType) => this.#types.delete(type.name),
    })
  }

  /** get_fs_type: a type with a reference on its module, `null` if there is none. */
  async get(name: string): Promise<FileSystemType | null> {
    const [base = ''] = name.split('.', 1)
    let type = this.#look(base)
    if (type === undefined && (await this.#modules.requestRetval(true, `fs-${base}`)) === 0) {
      type = this.#look(base)
      if (type === undefined) this.notices.push(`request_module fs-${base} succeeded, but still no fs?`)
    }
    if (type !== undefined && name.includes('.') && !type.hasSubtype) {
      type.owner.put()
      return null
    }
    return type ?? null
  }

  #look(name: string): FileSystemType | undefined {
    const type = this.#types.get(name)
    return type?.owner.tryGet() ? type : undefined
  }
}
